import t from 'tap'
import { ask, startTestServer } from '../test-support/server.ts'
import type { Answer } from '../test-support/server.ts'
import type { ApiServer } from '../index.ts'

const base = '/api/v1/namespaces/default'
const pod = (name: string, requests: object = {}, more: object = {}): object => ({ metadata: { name }, spec: { containers: [{ name: 'a', image: 'x', resources: { requests } }], ...more } })
const map = (name: string): object => ({ metadata: { name } })

async function usedOf(server: ApiServer, name: string): Promise<unknown> {
  return ((await ask(server, 'GET', `${base}/resourcequotas/${name}`)).body['status'] as { used?: unknown } | undefined)?.used
}

async function limit(server: ApiServer, name: string, spec: object): Promise<Answer> {
  await ask(server, 'POST', `${base}/serviceaccounts`, { metadata: { name: 'default' } })
  return ask(server, 'POST', `${base}/resourcequotas`, { metadata: { name }, spec })
}

t.test('what goes beyond a quota is refused in the words of Kubernetes, and what is written is counted', async (t) => {
  const { server } = await startTestServer(t)
  await ask(server, 'POST', `${base}/configmaps`, map('before'))
  await limit(server, 'q', { hard: { configmaps: '3', 'count/configmaps': '10', 'requests.cpu': '1', pods: '2', 'services.nodeports': '1' } })
  t.equal((await ask(server, 'POST', `${base}/configmaps`, map('a'))).status, 201)
  t.match(await usedOf(server, 'q'), { configmaps: '2', 'count/configmaps': '2', pods: '0' }, 'what was there before counts')
  t.equal((await ask(server, 'POST', `${base}/configmaps?dryRun=All`, map('b'))).status, 201)
  t.match(await usedOf(server, 'q'), { configmaps: '2' }, 'a trial is not counted')
  t.equal((await ask(server, 'POST', `${base}/configmaps`, map('b'))).status, 201)
  t.match(await ask(server, 'POST', `${base}/configmaps`, map('c')), { status: 403, body: { reason: 'Forbidden', message: 'configmaps "c" is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=3, limited: configmaps=3' } })
  t.match(await ask(server, 'POST', `${base}/pods`, pod('p')), { status: 403, body: { message: 'pods "p" is forbidden: failed quota: q: must specify requests.cpu for: a' } })
  t.equal((await ask(server, 'POST', `${base}/pods`, pod('p', { cpu: '600m' }))).status, 201)
  t.match(await ask(server, 'POST', `${base}/pods`, pod('r', { cpu: '500m' })), { status: 403, body: { message: 'pods "r" is forbidden: exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=600m, limited: requests.cpu=1' } })
  const service = (ports: number[]): object => ({ metadata: { name: 's' }, spec: { type: 'NodePort', ports: ports.map((port) => ({ port, name: `p${port}` })) } })
  t.equal((await ask(server, 'POST', `${base}/services`, service([1]))).status, 201)
  t.match((await ask(server, 'PATCH', `${base}/services/s`, { spec: { ports: [{ port: 1, name: 'p1' }, { port: 2, name: 'p2' }] } }, { 'content-type': 'application/merge-patch+json' })).body, { message: /exceeded quota: q, requested: services.nodeports=1, used: services.nodeports=1, limited: services.nodeports=1/ })
  t.equal((await ask(server, 'POST', '/api/v1/namespaces/kube-system/configmaps', map('c'))).status, 201, 'other namespaces do not matter')
})

t.test('at most as many as allowed get through at once, and what fails is given back', async (t) => {
  const { server } = await startTestServer(t)
  await limit(server, 'q', { hard: { 'count/configmaps': '10' } })
  await limit(server, 'r', { hard: { configmaps: '5' } })
  const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => ask(server, 'POST', `${base}/configmaps`, map(`m${i}`))))
  t.equal(answers.filter(({ status }) => status === 201).length, 5)
  t.equal(answers.filter(({ status }) => status === 403).length, 35)
  t.match([await usedOf(server, 'q'), await usedOf(server, 'r')], [{ 'count/configmaps': '5' }, { configmaps: '5' }])
  await ask(server, 'DELETE', `${base}/resourcequotas/r`)
  const same = await Promise.all(Array.from({ length: 4 }, () => ask(server, 'POST', `${base}/configmaps`, map('same'))))
  t.same(same.map(({ status }) => status).toSorted((a, b) => a - b), [201, 409, 409, 409])
  t.match(await usedOf(server, 'q'), { 'count/configmaps': '6' })
})

t.test('two servers on one store let no more through than is allowed', async (t) => {
  const { server, store } = await startTestServer(t)
  const other = (await startTestServer(t, { store })).server
  t.teardown(() => server.stop())
  await limit(server, 'q', { hard: { 'count/configmaps': '10' } })
  const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => ask(i % 2 === 0 ? server : other, 'POST', `${base}/configmaps`, map(`m${i}`))))
  t.equal(answers.filter(({ status }) => status === 201).length, 10)
  t.match(await usedOf(other, 'q'), { 'count/configmaps': '10' })
})

t.test('scopes say which pods count', async (t) => {
  const { server } = await startTestServer(t)
  await limit(server, 'best', { hard: { pods: '1' }, scopes: ['BestEffort'] })
  await ask(server, 'POST', '/apis/scheduling.k8s.io/v1/priorityclasses', { metadata: { name: 'high' }, value: 1000 })
  await limit(server, 'high', { hard: { pods: '1' }, scopeSelector: { matchExpressions: [{ scopeName: 'PriorityClass', operator: 'In', values: ['high'] }] } })
  const create = async (name: string, requests: object, more: object = {}): Promise<number> => (await ask(server, 'POST', `${base}/pods`, pod(name, requests, more))).status
  t.equal(await create('a', {}), 201)
  t.equal(await create('b', {}), 403)
  t.equal(await create('c', { cpu: '1' }), 201)
  t.equal(await create('d', { cpu: '1' }, { priorityClassName: 'high' }), 201)
  t.equal(await create('e', { cpu: '1' }, { priorityClassName: 'high' }), 403)
  t.match([await usedOf(server, 'best'), await usedOf(server, 'high')], [{ pods: '1' }, { pods: '1' }])
})

t.test('limit ranges and quotas are held to the rules', async (t) => {
  const { server } = await startTestServer(t)
  const cases: [plural: string, spec: object, field: string][] = [
    ['limitranges', { limits: [{ type: 'Container', min: { cpu: '2' }, max: { cpu: '1' } }] }, 'spec.limits[0].min[cpu]'],
    ['limitranges', { limits: [{ type: 'Container', max: { cpu: '1' }, default: { cpu: '2' } }] }, 'spec.limits[0].defaultRequest[cpu]'],
    ['limitranges', { limits: [{ type: 'Container', max: { cpu: '1' }, default: { cpu: '2' }, defaultRequest: { cpu: '1' } }] }, 'spec.limits[0].default[cpu]'],
    ['limitranges', { limits: [{ type: 'Pod', default: { cpu: '2' } }] }, 'spec.limits[0].default'],
    ['limitranges', { limits: [{ type: 'Pod', max: { cpu: '2' } }, { type: 'Pod', max: { cpu: '1' } }] }, 'spec.limits[1].type'],
    ['limitranges', { limits: [{ type: 'PersistentVolumeClaim' }] }, 'spec.limits[0].limits'],
    ['limitranges', { limits: [{ type: 'Container', maxLimitRequestRatio: { cpu: '500m' } }] }, 'spec.limits[0].maxLimitRequestRatio[cpu]'],
    ['resourcequotas', { hard: { nonsense: '1' } }, 'spec.hard[nonsense]'],
    ['resourcequotas', { hard: { pods: '-1' } }, 'spec.hard[pods]'],
    ['resourcequotas', { hard: { pods: '1500m' } }, 'spec.hard[pods]'],
    ['resourcequotas', { hard: { pods: '1' }, scopes: ['Sometimes'] }, 'spec.scopes'],
    ['resourcequotas', { hard: { pods: '1' }, scopes: ['BestEffort', 'NotBestEffort'] }, 'spec.scopes'],
    ['resourcequotas', { hard: { secrets: '1' }, scopes: ['Terminating'] }, 'spec.scopes'],
    ['resourcequotas', { hard: { pods: '1' }, scopeSelector: { matchExpressions: [{ scopeName: 'PriorityClass', operator: 'In' }] } }, 'spec.scopeSelector.matchExpressions[0].values'],
  ]
  for (const [plural, spec, field] of cases) t.match(await ask(server, 'POST', `${base}/${plural}`, { metadata: { name: 'x' }, spec }), { status: 422, body: { details: { causes: [{ field }] } } }, `${JSON.stringify(spec)} is wrong at ${field}`)
  await ask(server, 'POST', `${base}/resourcequotas`, { metadata: { name: 'q' }, spec: { hard: { pods: '1' }, scopes: ['BestEffort'] } })
  t.match((await ask(server, 'PATCH', `${base}/resourcequotas/q`, { spec: { scopes: ['Terminating'] } }, { 'content-type': 'application/merge-patch+json' })).body, { details: { causes: [{ field: 'spec.scopes', message: /field is immutable$/ }] } })
})
