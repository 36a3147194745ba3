// What new pods get, and what namespaces allow.
import t from 'tap'
import { ask, pod, startTestServer } from '../test-support/server.ts'

const base = '/api/v1/namespaces/default'
const pods = `${base}/pods`

t.test('a pod gets its service account with token and pull secrets, unless it wants none', async (t) => {
  const { server } = await startTestServer(t)
  t.match(await ask(server, 'POST', pods, pod('p', { serviceAccountName: 'gone' })), { status: 403, body: { message: 'pods "p" is forbidden: error looking up service account default/gone: serviceaccount "gone" not found' } })
  await ask(server, 'PATCH', `${base}/serviceaccounts/default`, { imagePullSecrets: [{ name: 'pull' }] }, { 'content-type': 'application/merge-patch+json' })
  const made = (await ask(server, 'POST', pods, pod('p'))).body['spec'] as { serviceAccountName: string; volumes: { name: string; projected: { sources: object[] } }[]; containers: { volumeMounts: { name: string; mountPath: string }[] }[]; imagePullSecrets: object[] }
  t.match(made, { serviceAccountName: 'default', imagePullSecrets: [{ name: 'pull' }], volumes: [{ name: /^kube-api-access-[a-z0-9]{5}$/, projected: { sources: [{ serviceAccountToken: { expirationSeconds: 3607 } }, { configMap: { name: 'kube-root-ca.crt' } }, { downwardAPI: {} }] } }] })
  t.match(made.containers[0]?.volumeMounts, [{ name: made.volumes[0]?.name, mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' }])
  t.notOk((((await ask(server, 'POST', pods, pod('q', { automountServiceAccountToken: false }))).body['spec']) as { volumes?: object }).volumes)
})

t.test('a pod stays for five minutes on a node that is lost, unless it says otherwise', async (t) => {
  const { server } = await startTestServer(t, { notReadyTolerationSeconds: 30 })
  const tolerations = async (more: Record<string, unknown>, name: string): Promise<unknown> => ((await ask(server, 'POST', pods, pod(name, more))).body['spec'] as { tolerations?: unknown }).tolerations
  t.same(await tolerations({}, 'a'), [
    { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 30 },
    { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 },
  ])
  t.match(await tolerations({ tolerations: [{ operator: 'Exists' }] }, 'b'), [{ operator: 'Exists' }])
  t.match(await tolerations({ tolerations: [{ key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute' }] }, 'c'), [{ key: 'node.kubernetes.io/unreachable' }, { key: 'node.kubernetes.io/not-ready' }])
})

t.test('a pod gets the priority of its class', async (t) => {
  const { server } = await startTestServer(t)
  const create = async (name: string, more: Record<string, unknown>): Promise<object> => (await ask(server, 'POST', pods, pod(name, more))).body
  const priorityClass = (name: string, value: number, more: object = {}): Promise<{ readonly status: number; readonly body: object }> => ask(server, 'POST', '/apis/scheduling.k8s.io/v1/priorityclasses', { metadata: { name }, value, ...more })
  t.match(await create('a', {}), { spec: { priority: 0, preemptionPolicy: 'PreemptLowerPriority' } })
  await priorityClass('high', 1000, { preemptionPolicy: 'Never' })
  t.match(await create('b', { priorityClassName: 'high' }), { spec: { priority: 1000, preemptionPolicy: 'Never' } })
  t.match(await create('c', { priorityClassName: 'none' }), { message: 'pods "c" is forbidden: no PriorityClass with name none was found' })
  t.match(await create('c', { priorityClassName: 'high', priority: 5 }), { message: 'pods "c" is forbidden: the integer value of priority (5) must not be provided in pod spec; priority admission controller computed 1000 from the given PriorityClass name' })
  t.match(await create('d', { priorityClassName: 'system-node-critical' }), { spec: { priority: 2_000_001_000 } })
  await priorityClass('usual', 10, { globalDefault: true })
  t.match(await create('e', {}), { spec: { priority: 10, priorityClassName: 'usual' } })
  t.match(await priorityClass('other', 10, { globalDefault: true }), { status: 403, body: { message: /PriorityClass usual is already marked as default. Only one default can exist/ } })
})

t.test('nothing is created in a namespace that is not there or is going, and three namespaces stay', async (t) => {
  const { server } = await startTestServer(t)
  t.match(await ask(server, 'POST', '/api/v1/namespaces/nowhere/configmaps', { metadata: { name: 'x' } }), { status: 404, body: { message: 'namespaces "nowhere" not found' } })
  await ask(server, 'POST', '/api/v1/namespaces', { metadata: { name: 'going' } })
  await ask(server, 'DELETE', '/api/v1/namespaces/going')
  t.match(await ask(server, 'POST', '/api/v1/namespaces/going/configmaps', { metadata: { name: 'x' } }), {
    status: 403, body: { message: 'configmaps "x" is forbidden: unable to create new content in namespace going because it is being terminated', details: { causes: [{ reason: 'NamespaceTerminating', field: 'metadata.namespace' }] } },
  })
  for (const name of ['default', 'kube-system', 'kube-public']) t.match(await ask(server, 'DELETE', `/api/v1/namespaces/${name}`), { status: 403, body: { message: `namespaces "${name}" is forbidden: this namespace may not be deleted` } })
})
