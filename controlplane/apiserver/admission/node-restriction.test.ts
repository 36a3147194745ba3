import t from 'tap'
import { ask, pod, startTestServer } from '../test-support/server.ts'
import type { Answer } from '../test-support/server.ts'

t.test('a node writes what is its own and nothing of another node', async (t) => {
  const { server } = await startTestServer(t)
  const node = { name: 'system:node:n1', groups: ['system:nodes'] }
  for (const name of ['n1', 'n2']) await ask(server, 'POST', '/api/v1/nodes', { apiVersion: 'v1', kind: 'Node', metadata: { name } })
  const pods = '/api/v1/namespaces/default/pods'
  for (const name of ['n1', 'n2']) await ask(server, 'POST', pods, pod(`on-${name}`, { nodeName: name }))
  const as = (method: string, path: string, body?: unknown): Promise<Answer> => ask(server, method, path, body, { 'content-type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json' }, node)
  const lease = (name: string): object => ({ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name }, spec: { holderIdentity: name } })
  const leases = '/apis/coordination.k8s.io/v1/namespaces'
  const token = (bound: string | undefined): object => ({ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: bound === undefined ? {} : { boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: bound } } })
  const account = '/api/v1/namespaces/default/serviceaccounts/default/token'
  const mirror = { ...pod('mirror', { nodeName: 'n1' }), metadata: { name: 'mirror', annotations: { 'kubernetes.io/config.mirror': 'x' } } }
  const cases: [method: string, path: string, body: unknown, status: number][] = [
    ['PATCH', '/api/v1/nodes/n1/status', { status: { phase: 'Running' } }, 200],
    ['PATCH', '/api/v1/nodes/n2/status', { status: { phase: 'Running' } }, 403],
    ['PATCH', '/api/v1/nodes/n2', { spec: { unschedulable: true } }, 403],
    // what hosts encrypt with is published so
    ['PATCH', '/api/v1/nodes/n1', { metadata: { annotations: { 'fairway.dev/wireguard-public-key': 'own' } } }, 200],
    ['PATCH', '/api/v1/nodes/n2', { metadata: { annotations: { 'fairway.dev/wireguard-public-key': 'own' } } }, 403],
    ['PATCH', '/api/v1/nodes/n2/status', { metadata: { annotations: { 'fairway.dev/wireguard-public-key': 'own' } } }, 403],
    ['PUT', '/api/v1/nodes/n2', { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n2', annotations: { 'fairway.dev/wireguard-public-key': 'own' } } }, 403],
    ['DELETE', '/api/v1/nodes/n2', undefined, 403],
    ['POST', '/api/v1/nodes', { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n3' } }, 403],
    ['POST', `${leases}/kube-node-lease/leases`, lease('n1'), 201],
    ['POST', `${leases}/kube-node-lease/leases`, lease('n2'), 403],
    ['POST', `${leases}/default/leases`, lease('n1'), 403],
    ['PATCH', `${pods}/on-n1/status`, { status: { phase: 'Running' } }, 200],
    ['PATCH', `${pods}/on-n2/status`, { status: { phase: 'Running' } }, 403],
    ['POST', pods, mirror, 201],
    ['POST', pods, pod('own', { nodeName: 'n1' }), 403],
    ['DELETE', `${pods}/on-n2`, undefined, 403],
    ['POST', account, token('on-n1'), 201],
    ['POST', account, token('on-n2'), 403],
    ['POST', account, token(undefined), 403],
    ['DELETE', `${pods}/on-n1?gracePeriodSeconds=0`, undefined, 200],
  ]
  for (const [method, path, body, status] of cases) t.equal((await as(method, path, body)).status, status, `${method} ${path} ${JSON.stringify(body ?? '')}`)
})

t.test('a node neither labels itself into other places nor draws in what it may not read', async (t) => {
  const { server } = await startTestServer(t)
  const node = { name: 'system:node:n1', groups: ['system:nodes'] }
  const as = (method: string, path: string, body?: unknown): Promise<Answer> => ask(server, method, path, body, { 'content-type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json' }, node)
  const make = (labels: object): object => ({ metadata: { name: 'n1', labels }, spec: { taints: [{ key: 'mine', effect: 'NoSchedule' }] } })
  const mirror = (spec: object, metadata: object = {}): object => ({ metadata: { name: 'm', annotations: { 'kubernetes.io/config.mirror': 'x' }, ...metadata }, spec: { nodeName: 'n1', containers: [{ name: 'a', image: 'x' }], ...spec } })
  const pods = '/api/v1/namespaces/default/pods'
  const cases: [method: string, path: string, body: unknown, said: RegExp | undefined][] = [
    ['POST', '/api/v1/nodes', make({ 'node-restriction.kubernetes.io/team': 'a' }), /is not allowed to set the following labels: node-restriction.kubernetes.io\/team/],
    ['POST', '/api/v1/nodes', make({ 'node-role.kubernetes.io/control-plane': '' }), /set the following labels: node-role/],
    ['POST', '/api/v1/nodes', make({ 'kubernetes.io/hostname': 'n1', 'topology.kubernetes.io/zone': 'z', 'example.com/any': 'x', 'node.kubernetes.io/pool': 'p' }), undefined],
    ['PATCH', '/api/v1/nodes/n1', { metadata: { labels: { 'node-role.kubernetes.io/worker': '' } } }, /is not allowed to modify labels: node-role/],
    ['PATCH', '/api/v1/nodes/n1', { spec: { taints: [] } }, /is not allowed to modify taints/],
    ['PATCH', '/api/v1/nodes/n1/status', { status: { phase: 'Running' } }, undefined],
    ['POST', pods, mirror({ serviceAccountName: 'default' }), /can not create pods that reference a service account/],
    ['POST', pods, mirror({ volumes: [{ name: 'v', secret: { secretName: 's' } }] }), /can not create pods that reference secrets/],
    ['POST', pods, mirror({ volumes: [{ name: 'v', configMap: { name: 's' } }] }), /can not create pods that reference configmaps/],
    ['POST', pods, mirror({}, { ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: 'n2', uid: 'u' }] }), /owner reference set to itself/],
    ['POST', pods, mirror({}), undefined],
    ['PATCH', `${pods}/m/status`, { metadata: { labels: { a: 'b' } } }, /cannot update labels through pod status/],
  ]
  for (const [method, path, body, said] of cases) {
    const answer = await as(method, path, body)
    if (said === undefined) t.ok(answer.status < 300, `${method} ${path}: ${answer.text.slice(0, 200)}`)
    else t.match(answer, { status: 403, body: { message: said } }, `${method} ${path} ${JSON.stringify(body)}`)
  }
  const csiNode = await ask(server, 'POST', '/apis/storage.k8s.io/v1/csinodes', { metadata: { name: 'n2' }, spec: { drivers: [] } }, {}, { name: node.name, groups: ['system:nodes', 'system:masters'] })
  t.match(csiNode.body, { message: /can only access CSINode with the same name as the requesting node/ })
})
