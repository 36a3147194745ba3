// pods/resize: what of a pod's resources may change while it runs.
import t from 'tap'
import { ask, pod, startTestServer } from '../test-support/server.ts'

const pods = '/api/v1/namespaces/default/pods'
const merge = { 'content-type': 'application/strategic-merge-patch+json' }

t.test('resources change within the class of the pod', async (t) => {
  const { server } = await startTestServer(t)
  const image = 'busybox:1'
  await ask(server, 'POST', pods, pod('web', {
    containers: [{ name: 'main', image, resources: { requests: { cpu: '100m' } } }],
    initContainers: [{ name: 'sidecar', image, restartPolicy: 'Always' }, { name: 'first', image }],
  }))
  const resize = (field: string, name: string, resources: object): ReturnType<typeof ask> => ask(server, 'PATCH', `${pods}/web/resize`, { spec: { [field]: [{ name, resources }] } }, merge)
  t.match(await resize('containers', 'main', { requests: { cpu: '200m' } }), { status: 200, body: { metadata: { generation: 2 }, spec: { containers: [{ resources: { requests: { cpu: '200m' } } }] } } })
  t.match(await resize('initContainers', 'sidecar', { requests: { memory: '1Mi' } }), { status: 200, body: { spec: { initContainers: [{ resources: { requests: { memory: '1Mi' } } }, {}] } } })
  t.match(await resize('initContainers', 'first', { requests: { memory: '1Mi' } }), { status: 422, body: { message: /initContainers\[1\].resources: Forbidden: resources of a non-sidecar/ } })
  t.match(await resize('containers', 'main', { requests: { cpu: null } }), { status: 422, body: { message: /resource requests cannot be removed/ } })
  t.match(await resize('containers', 'main', { requests: { 'example.com/gpu': '1' }, limits: { 'example.com/gpu': '1' } }), { status: 422, body: { message: /only cpu and memory resources are mutable/ } })
  await ask(server, 'POST', pods, pod('other'))
  const other = await ask(server, 'PATCH', `${pods}/other/resize`, { spec: { containers: [{ name: 'main', resources: { requests: { cpu: '1' } } }] } }, merge)
  t.match(other, { status: 422, body: { message: 'Pod "other" is invalid: spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing' } })
})
