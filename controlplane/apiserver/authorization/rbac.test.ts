// RBAC as a table: who may what, by which roles and bindings.
import t from 'tap'
import type { Test } from 'tap'
import { clusterRoleBindings, clusterRoles, roleBindings, roles } from '../../../api/resources.ts'
import type { ClusterRole, PolicyRule } from '../../../api/types.ts'
import { ask, startTestServer } from '../test-support/server.ts'
import type { TestServer } from '../test-support/server.ts'

const group = 'rbac.authorization.k8s.io'
const clusterRole = (name: string, rules: PolicyRule[], more: Partial<ClusterRole> = {}): ClusterRole => ({ metadata: { name, ...more.metadata }, rules, ...('aggregationRule' in more ? { aggregationRule: more.aggregationRule } : {}) })

async function server(t: Test): Promise<TestServer> {
  const test = await startTestServer(t)
  const { client } = test
  const user = (name: string) => ({ kind: 'User' as const, apiGroup: group, name })
  const pods = (verbs: string[], more: Partial<PolicyRule> = {}): PolicyRule => ({ apiGroups: [''], resources: ['pods'], verbs, ...more })
  await client.create(clusterRoles, clusterRole('reader', [pods(['get', 'list'])]))
  await client.create(clusterRoles, clusterRole('logs', [pods(['get'], { resources: ['*/log'] })]))
  await client.create(clusterRoles, clusterRole('one-pod', [pods(['delete'], { resourceNames: ['it'] })]))
  await client.create(clusterRoles, clusterRole('paths', [{ nonResourceURLs: ['/metrics', '/debug/*'], verbs: ['get'] }]))
  await client.create(clusterRoles, clusterRole('part', [pods(['watch'])], { metadata: { name: 'part', labels: { sum: 'yes' } } }))
  await client.create(clusterRoles, { metadata: { name: 'sum' }, rules: [], aggregationRule: { clusterRoleSelectors: [{ matchLabels: { sum: 'yes' } }] } })
  await client.create(clusterRoles, clusterRole('granter', [pods(['get']), { apiGroups: [group], resources: ['roles', 'rolebindings'], verbs: ['create', 'update'] }]))
  const bind = (name: string, role: string, ...subjects: object[]) => client.create(clusterRoleBindings, { metadata: { name }, subjects: subjects as never, roleRef: { apiGroup: group, kind: 'ClusterRole', name: role } })
  await bind('a', 'reader', user('ann'), { kind: 'Group', apiGroup: group, name: 'readers' })
  await bind('b', 'logs', user('ann'))
  await bind('c', 'one-pod', user('ann'))
  await bind('d', 'paths', user('ann'))
  await bind('e', 'sum', user('sue'))
  await bind('f', 'nowhere', user('sue'))
  await bind('g', 'granter', user('greg'))
  await client.create(roleBindings, { metadata: { name: 'local', namespace: 'kube-public' }, subjects: [user('bob'), { kind: 'ServiceAccount', name: 'robot', namespace: 'default' }, { kind: 'ServiceAccount', name: 'local' }], roleRef: { apiGroup: group, kind: 'ClusterRole', name: 'reader' } })
  return test
}

t.test('what is allowed is what some rule says, and nothing else', async (t) => {
  const { server: api } = await server(t)
  const [ann, bob, sue, eve] = ['ann', 'bob', 'sue', 'eve'].map((name) => ({ name, groups: [] as string[] }))
  const robot = { name: 'system:serviceaccount:default:robot', groups: ['system:serviceaccounts'] }
  const cases: [who: { name: string; groups: string[] } | undefined, method: string, path: string, allowed: boolean][] = [
    [ann, 'GET', '/api/v1/pods', true],
    [ann, 'GET', '/api/v1/namespaces/kube-public/pods/x', true],
    [ann, 'GET', '/api/v1/pods?watch=1', false],
    [ann, 'DELETE', '/api/v1/namespaces/default/pods/it', true],
    [ann, 'DELETE', '/api/v1/namespaces/default/pods/other', false],
    [ann, 'DELETE', '/api/v1/namespaces/default/pods', false],
    [ann, 'GET', '/api/v1/namespaces/default/pods/x/log', true],
    [ann, 'GET', '/api/v1/namespaces/default/pods/x/status', false],
    [ann, 'GET', '/apis/apps/v1/deployments', false],
    [ann, 'GET', '/metrics', true],
    [ann, 'GET', '/debug/a/b', true],
    [ann, 'GET', '/metricsx', false],
    [bob, 'GET', '/api/v1/namespaces/kube-public/pods', true],
    [bob, 'GET', '/api/v1/namespaces/default/pods', false],
    [bob, 'GET', '/api/v1/pods', false],
    [robot, 'GET', '/api/v1/namespaces/kube-public/pods', true],
    [{ name: 'system:serviceaccount:kube-public:local', groups: [] }, 'GET', '/api/v1/namespaces/kube-public/pods', true],
    [{ name: 'system:serviceaccount:default:local', groups: [] }, 'GET', '/api/v1/namespaces/kube-public/pods', false],
    [{ name: 'x', groups: ['readers'] }, 'GET', '/api/v1/pods', true],
    [{ name: 'readers', groups: [] }, 'GET', '/api/v1/pods', false],
    [sue, 'GET', '/api/v1/pods?watch=1', true],
    [sue, 'GET', '/api/v1/pods', false],
    [eve, 'GET', '/api/v1/pods', false],
    [eve, 'GET', '/apis', true],
    [eve, 'GET', '/openapi/v3', true],
    [{ name: 'system:node:n', groups: ['system:nodes'] }, 'GET', '/api/v1/nodes', true],
    [{ name: 'system:node:n', groups: ['system:nodes'] }, 'GET', '/api/v1/namespaces/kube-system/configmaps?fieldSelector=metadata.name%3Dfairway-dns', true],
    [{ name: 'system:node:n', groups: ['system:nodes'] }, 'GET', '/api/v1/namespaces/kube-system/configmaps?fieldSelector=metadata.name%3Dother', false],
    [{ name: 'system:node:n', groups: ['system:nodes'] }, 'GET', '/api/v1/namespaces/default/configmaps/fairway-dns', false],
    [{ name: 'system:node:n', groups: ['system:nodes'] }, 'POST', '/apis/apps/v1/namespaces/default/deployments', false],
  ]
  for (const [who, method, path, allowed] of cases) {
    if (path.includes('watch')) {
      const abort = new AbortController()
      const { status } = await api.transport(who!)({ method, path, signal: abort.signal })
      abort.abort()
      t.equal(status !== 403, allowed, `${who!.name} ${method} ${path}`)
    } else t.equal((await ask(api, method, path, undefined, {}, who)).status !== 403, allowed, `${who!.name} ${method} ${path}`)
  }
})

t.test('a binding counts from the moment it is there to the moment it is gone', async (t) => {
  const { server: api, client } = await server(t)
  const may = async (): Promise<boolean> => (await ask(api, 'GET', '/api/v1/namespaces/default/secrets', undefined, {}, { name: 'new', groups: [] })).status === 200
  t.equal(await may(), false)
  await client.create(roles, { metadata: { name: 'secrets', namespace: 'default' }, rules: [{ apiGroups: [''], resources: ['secrets'], verbs: ['*'] }] })
  await client.create(roleBindings, { metadata: { name: 'secrets', namespace: 'default' }, subjects: [{ kind: 'User', name: 'new' }], roleRef: { apiGroup: group, kind: 'Role', name: 'secrets' } })
  t.equal(await may(), true)
  await client.delete(roleBindings, { namespace: 'default', name: 'secrets' })
  t.equal(await may(), false)
})

t.test('nobody gives what they do not have', async (t) => {
  const { server: api } = await server(t)
  const greg = { name: 'greg', groups: [] }
  const make = (plural: string, kind: string, more: object) => ask(api, 'POST', `/apis/${group}/v1/namespaces/default/${plural}`, { apiVersion: `${group}/v1`, kind, metadata: { name: `r${Math.random()}` }, ...more }, {}, greg)
  const rules = (verbs: string[]) => ({ rules: [{ apiGroups: [''], resources: ['pods'], verbs }] })
  t.match(await make('roles', 'Role', rules(['get'])), { status: 201 })
  t.match(await make('roles', 'Role', rules(['get', 'delete'])), { status: 403, body: { message: /attempting to grant RBAC permissions not currently held/ } })
  t.match(await make('roles', 'Role', rules(['*'])), { status: 403 })
  const to = (name: string) => ({ subjects: [{ kind: 'User', apiGroup: group, name: 'greg' }], roleRef: { apiGroup: group, kind: 'ClusterRole', name } })
  t.match(await make('rolebindings', 'RoleBinding', to('cluster-admin')), { status: 403 })
  t.match(await make('rolebindings', 'RoleBinding', to('granter')), { status: 201 })
  t.match(await make('rolebindings', 'RoleBinding', to('made-later')), { status: 404, body: { message: /clusterroles.* "made-later" not found/ } }, 'nor what they will get unseen')
})

t.test('acting as somebody else takes a permission of its own', async (t) => {
  const { server: api, client } = await server(t)
  t.match(await ask(api, 'GET', '/api/v1/pods', undefined, { 'impersonate-user': 'ann' }), { status: 200 })
  t.match(await ask(api, 'GET', '/api/v1/pods', undefined, { 'impersonate-user': 'eve' }), { status: 403, body: { message: /User "eve" cannot list/ } })
  t.match(await ask(api, 'GET', '/api/v1/pods', undefined, { 'impersonate-user': 'eve', 'impersonate-group': 'readers, other' }), { status: 200 })
  t.match(await ask(api, 'GET', '/api/v1/pods', undefined, { 'impersonate-user': 'admin', 'impersonate-group': 'system:masters' }, { name: 'ann', groups: [] }), { status: 403, body: { message: /cannot impersonate/ } })
  t.match(await ask(api, 'GET', '/api/v1/pods', undefined, { 'impersonate-group': 'system:masters' }), { status: 400 })
  t.ok(client)
})

t.test('reviews answer what the server would decide', async (t) => {
  const { server: api } = await server(t)
  const ann = { name: 'ann', groups: [] }
  const can = async (verb: string) => (await ask(api, 'POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', { spec: { resourceAttributes: { verb, resource: 'pods' } } }, {}, ann)).body['status']
  t.match(await can('list'), { allowed: true })
  t.match(await can('create'), { allowed: false })
  const rules = await ask(api, 'POST', '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews', { spec: { namespace: 'default' } }, {}, ann)
  t.match(rules.body, { status: { resourceRules: [{ verbs: ['get', 'list'], resources: ['pods'] }, {}, {}], incomplete: false } })
  const other = await ask(api, 'POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', { spec: { user: 'bob', resourceAttributes: { verb: 'get', resource: 'pods', namespace: 'kube-public' } } })
  t.match(other.body, { status: { allowed: true } })
  t.match(await ask(api, 'POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', { spec: { user: 'bob', resourceAttributes: { verb: 'get', resource: 'pods' } } }, {}, ann), { status: 403 })
})
