// Claims and pods get what their classes say.
import t from 'tap'
import { ask, pod, startTestServer } from '../test-support/server.ts'

const claims = '/api/v1/namespaces/default/persistentvolumeclaims'
const pods = '/api/v1/namespaces/default/pods'
const claim = (name: string, more: object = {}): object => ({ metadata: { name }, spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, ...more } })

t.test('a claim without a class gets the default one, and keeps none if it says so', async (t) => {
  const { server } = await startTestServer(t)
  t.notOk(((await ask(server, 'POST', claims, claim('before'))).body['spec'] as Record<string, unknown>)['storageClassName'])
  await ask(server, 'POST', '/apis/storage.k8s.io/v1/storageclasses', { metadata: { name: 'other' }, provisioner: 'x' })
  await ask(server, 'POST', '/apis/storage.k8s.io/v1/storageclasses', { metadata: { name: 'usual', annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' } }, provisioner: 'x' })
  t.match((await ask(server, 'POST', claims, claim('a'))).body, { spec: { storageClassName: 'usual' } })
  t.match((await ask(server, 'POST', claims, claim('b', { storageClassName: 'other' }))).body, { spec: { storageClassName: 'other' } })
  t.match((await ask(server, 'POST', claims, claim('c', { storageClassName: '' }))).body, { spec: { storageClassName: '' } })
})

t.test('a pod gets overhead, node selector and tolerations of its runtime class, which must be there', async (t) => {
  const { server } = await startTestServer(t)
  t.match(await ask(server, 'POST', pods, pod('p', { runtimeClassName: 'vm' })), { status: 403, body: { message: /RuntimeClass "vm" not found/ } })
  await ask(server, 'POST', '/apis/node.k8s.io/v1/runtimeclasses', { metadata: { name: 'vm' }, handler: 'vm', overhead: { podFixed: { memory: '100Mi' } }, scheduling: { nodeSelector: { vm: 'yes' }, tolerations: [{ key: 'vm', operator: 'Exists' }] } })
  t.match((await ask(server, 'POST', pods, pod('p', { runtimeClassName: 'vm', nodeSelector: { a: 'b' } }))).body, { spec: { overhead: { memory: '100Mi' }, nodeSelector: { a: 'b', vm: 'yes' } } })
  t.ok(((await ask(server, 'GET', `${pods}/p`)).body['spec'] as { tolerations: { key: string }[] }).tolerations.some(({ key }) => key === 'vm'))
  t.match(await ask(server, 'POST', pods, pod('q', { runtimeClassName: 'vm', nodeSelector: { vm: 'no' } })), { status: 403, body: { message: /conflict/ } })
})
