import t from 'tap'
import { ask, startTestServer } from '../test-support/server.ts'

const base = '/api/v1/namespaces/default'
const pod = (name: string, resources: object = {}, more: object = {}): object => ({ metadata: { name }, spec: { containers: [{ name: 'a', image: 'x', resources }], ...more } })

t.test('containers get the defaults of the namespace for what they do not say', async (t) => {
  const { server } = await startTestServer(t)
  await ask(server, 'POST', `${base}/serviceaccounts`, { metadata: { name: 'default' } })
  await ask(server, 'POST', `${base}/limitranges`, { metadata: { name: 'l' }, spec: { limits: [{ type: 'Container', default: { cpu: '500m', memory: '512Mi' }, defaultRequest: { cpu: '100m' } }] } })
  t.match((await ask(server, 'POST', `${base}/pods`, pod('bare', {}, { initContainers: [{ name: 'i', image: 'x', resources: { limits: { cpu: '1', memory: '1Gi' } } }] }))).body, {
    metadata: { annotations: { 'kubernetes.io/limit-ranger': 'LimitRanger plugin set: cpu, memory request for container a; cpu, memory limit for container a' } },
    spec: { containers: [{ resources: { limits: { cpu: '500m', memory: '512Mi' }, requests: { cpu: '100m', memory: '512Mi' } } }] },
  })
  t.match((await ask(server, 'POST', `${base}/pods`, pod('partly', { requests: { cpu: '200m' } }))).body, { spec: { containers: [{ resources: { limits: { cpu: '500m', memory: '512Mi' }, requests: { cpu: '200m', memory: '512Mi' } } }] } })
  const elsewhere = await ask(server, 'POST', '/api/v1/namespaces/kube-system/pods', pod('elsewhere'))
  t.equal(elsewhere.status, 201)
  t.notMatch(elsewhere.text, /limit-ranger/)
})

t.test('what is beyond the limits is refused in the words of Kubernetes', async (t) => {
  const { server } = await startTestServer(t)
  await ask(server, 'POST', `${base}/serviceaccounts`, { metadata: { name: 'default' } })
  const claim = (storage: string): object => ({ metadata: { name: 'c' }, spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage } } } })
  const cases: [item: object, path: string, body: object, message: string | undefined][] = [
    [{ type: 'Container', min: { cpu: '100m' } }, 'pods', pod('p'), undefined],
    [{ type: 'Pod', min: { cpu: '100m' } }, 'pods', pod('p'), 'pods "p" is forbidden: minimum cpu usage per Pod is 100m.  No request is specified'],
    [{ type: 'Container', min: { cpu: '100m' } }, 'pods', pod('p', { requests: { cpu: '50m' } }), 'pods "p" is forbidden: minimum cpu usage per Container is 100m, but request is 50m'],
    [{ type: 'Container', min: { cpu: '100m' } }, 'pods', pod('p', { requests: { cpu: '100m' } }), undefined],
    [{ type: 'Container', max: { memory: '1Gi' } }, 'pods', pod('p', { limits: { memory: '2Gi' } }), 'pods "p" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi'],
    [{ type: 'Container', max: { memory: '1Gi' } }, 'pods', pod('p'), undefined],
    [{ type: 'Container', maxLimitRequestRatio: { cpu: '2' } }, 'pods', pod('p', { requests: { cpu: '100m' }, limits: { cpu: '500m' } }), 'pods "p" is forbidden: cpu max limit to request ratio per Container is 2, but provided ratio is 5.000000'],
    [{ type: 'Container', maxLimitRequestRatio: { cpu: '2' } }, 'pods', pod('p', { limits: { memory: '1Gi' } }), 'pods "p" is forbidden: cpu max limit to request ratio per Container is 2, but no request is specified or request is 0'],
    [{ type: 'Pod', max: { cpu: '1' } }, 'pods', pod('p', {}, { containers: ['a', 'b'].map((name) => ({ name, image: 'x', resources: { limits: { cpu: '600m' } } })) }), 'pods "p" is forbidden: maximum cpu usage per Pod is 1, but limit is 1200m'],
    [{ type: 'Pod', max: { cpu: '1' } }, 'pods', pod('p', { limits: { cpu: '400m' } }, { initContainers: [{ name: 'i', image: 'x', resources: { limits: { cpu: '900m' } } }] }), undefined],
    [{ type: 'Pod', max: { cpu: '1', memory: '1Gi' } }, 'pods', pod('p', { limits: { cpu: '2', memory: '2Gi' } }), 'pods "p" is forbidden: [maximum cpu usage per Pod is 1, but limit is 2, maximum memory usage per Pod is 1Gi, but limit is 2147483648]'],
    [{ type: 'PersistentVolumeClaim', min: { storage: '1Gi' }, max: { storage: '2Gi' } }, 'persistentvolumeclaims', claim('512Mi'), 'persistentvolumeclaims "c" is forbidden: minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 512Mi'],
    [{ type: 'PersistentVolumeClaim', min: { storage: '1Gi' }, max: { storage: '2Gi' } }, 'persistentvolumeclaims', claim('3Gi'), 'persistentvolumeclaims "c" is forbidden: maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi'],
  ]
  for (const [item, path, body, message] of cases) {
    t.equal((await ask(server, 'POST', `${base}/limitranges`, { metadata: { name: 'l' }, spec: { limits: [item] } })).status, 201)
    const answer = await ask(server, 'POST', `${base}/${path}?dryRun=All`, body)
    if (message === undefined) t.equal(answer.status, 201, `${JSON.stringify(item)} lets ${JSON.stringify(body)} through: ${answer.text.slice(0, 200)}`)
    else t.match(answer, { status: 403, body: { message, reason: 'Forbidden' } }, JSON.stringify(item))
    await ask(server, 'DELETE', `${base}/limitranges/l`)
  }
})
