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
