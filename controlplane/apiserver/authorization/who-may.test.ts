// Who somebody is and what they may, from the outside: aggregated roles, impersonation, reviews, and tokens that others verify.
import { createPublicKey, verify } from 'node:crypto'
import t from 'tap'
import { systemClock } from '../../../api/clock.ts'
import type { ClusterRole } from '../../../api/types.ts'
import { planAggregation } from '../bootstrap/role-aggregation.ts'
import type { ApiServer } from '../index.ts'
import { ask, askOver, pod, startTestServer } from '../test-support/server.ts'

type Json = Record<string, unknown>

const roles = '/apis/rbac.authorization.k8s.io/v1/clusterroles'
const bindings = '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings'
const reviews = '/apis/authorization.k8s.io/v1'
const whoami = '/apis/authentication.k8s.io/v1/selfsubjectreviews'
const merge = { 'content-type': 'application/merge-patch+json' }

async function until(what: () => Promise<boolean>): Promise<void> {
  while (!(await what())) await systemClock.sleep(5)
}

async function grant(server: ApiServer, user: string, rules: readonly Json[]): Promise<void> {
  await ask(server, 'POST', roles, { metadata: { name: `of-${user}` }, rules })
  await ask(server, 'POST', bindings, { metadata: { name: `of-${user}` }, subjects: [{ kind: 'User', name: user }], roleRef: { kind: 'ClusterRole', name: `of-${user}` } })
}

t.test('an aggregated role has the rules of those that it selects, and shows them', async (t) => {
  const { server } = await startTestServer(t)
  const selector = { clusterRoleSelectors: [{ matchLabels: { 'example.com/to': 'mine' } }] }
  await ask(server, 'POST', roles, { metadata: { name: 'mine' }, aggregationRule: selector, rules: [{ apiGroups: [''], resources: ['secrets'], verbs: ['get'] }] })
  await ask(server, 'POST', bindings, { metadata: { name: 'mine' }, subjects: [{ kind: 'User', name: 'ann' }], roleRef: { kind: 'ClusterRole', name: 'mine' } })
  const may = async (resource: string): Promise<boolean> => (await ask(server, 'GET', `/api/v1/${resource}`, undefined, {}, { name: 'ann', groups: [] })).status === 200
  t.equal(await may('secrets'), false, 'its own rules are not its own to say')
  await ask(server, 'POST', roles, { metadata: { name: 'part', labels: { 'example.com/to': 'mine' } }, rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['list'] }] })
  t.equal(await may('pods'), true)
  await until(async () => JSON.stringify((await ask(server, 'GET', `${roles}/mine`)).body['rules']) === JSON.stringify([{ apiGroups: [''], resources: ['pods'], verbs: ['list'] }]))
  await ask(server, 'PATCH', `${roles}/part`, { metadata: { labels: null } }, merge)
  t.equal(await may('pods'), false)
  await until(async () => ((await ask(server, 'GET', `${roles}/mine`)).body['rules'] as Json[] | undefined)?.length === 0)
})

t.test('the plan of aggregation: by name, each rule once, and nothing where nothing changes', (t) => {
  const rule = (resource: string): Json => ({ apiGroups: [''], resources: [resource], verbs: ['get'] })
  const role = (name: string, labels: Json, rules: Json[], more: Json = {}): ClusterRole => ({ metadata: { name, labels }, rules, ...more }) as unknown as ClusterRole
  const aggregated = (rules: Json[]): ClusterRole => role('all', {}, rules, { aggregationRule: { clusterRoleSelectors: [{ matchLabels: { a: 'b' } }] } })
  const parts = [role('x', { a: 'b' }, [rule('pods')]), role('y', { a: 'b' }, [rule('pods'), rule('services')]), role('z', {}, [rule('secrets')])]
  t.same(planAggregation([aggregated([]), ...parts]), new Map([['all', [rule('pods'), rule('services')]]]))
  t.same(planAggregation([aggregated([rule('pods'), rule('services')]), ...parts]), new Map())
  t.end()
})

t.test('whom one acts as is checked word by word: user, group, uid, extra', async (t) => {
  const { server } = await startTestServer(t)
  await grant(server, 'ann', [
    { apiGroups: [''], resources: ['users'], verbs: ['impersonate'], resourceNames: ['bob'] },
    { apiGroups: [''], resources: ['groups'], verbs: ['impersonate'], resourceNames: ['devs'] },
    { apiGroups: ['authentication.k8s.io'], resources: ['uids'], verbs: ['impersonate'], resourceNames: ['7'] },
    { apiGroups: ['authentication.k8s.io'], resources: ['userextras/scopes'], verbs: ['impersonate'], resourceNames: ['view'] },
    { apiGroups: [''], resources: ['serviceaccounts'], verbs: ['impersonate'] },
  ])
  const as = (headers: Record<string, string>): ReturnType<typeof ask> => ask(server, 'POST', whoami, {}, headers, { name: 'ann', groups: [] })
  t.match(await as({ 'impersonate-user': 'bob', 'impersonate-group': 'devs', 'impersonate-uid': '7', 'impersonate-extra-scopes': 'view' }), {
    status: 201, body: { status: { userInfo: { username: 'bob', uid: '7', groups: ['devs', 'system:authenticated'], extra: { scopes: ['view'] } } } },
  })
  t.match(await as({ 'impersonate-user': 'eve' }), { status: 403, body: { message: /cannot impersonate resource "users" in API group ""/ } })
  t.match(await as({ 'impersonate-user': 'bob', 'impersonate-group': 'devs, system:masters' }), { status: 403, body: { message: /cannot impersonate resource "groups"/ } })
  t.match(await as({ 'impersonate-user': 'bob', 'impersonate-uid': '8' }), { status: 403, body: { message: /cannot impersonate resource "uids" in API group "authentication.k8s.io"/ } })
  t.match(await as({ 'impersonate-user': 'bob', 'impersonate-extra-scopes': 'admin' }), { status: 403, body: { message: /cannot impersonate resource "userextras\/scopes"/ } })
  t.match(await as({ 'impersonate-extra-scopes': 'view' }), { status: 400 })
  t.match(await as({ 'impersonate-user': 'system:serviceaccount:default:robot' }), { status: 201, body: { status: { userInfo: { groups: ['system:serviceaccounts', 'system:serviceaccounts:default', 'system:authenticated'] } } } })
  t.match(await as({ 'impersonate-user': 'system:serviceaccount:default:robot', 'impersonate-group': 'system:masters' }), { status: 403 }, 'a service account is no way to groups')
})

t.test('reviews of a namespace are about that namespace, and of rules about names and paths too', async (t) => {
  const { server } = await startTestServer(t)
  await grant(server, 'ann', [{ apiGroups: ['apps'], resources: ['deployments/scale'], verbs: ['patch'], resourceNames: ['web'] }, { nonResourceURLs: ['/healthz/*'], verbs: ['get'] }])
  const allowed = async (path: string, spec: Json): Promise<unknown> => ((await ask(server, 'POST', `${reviews}/${path}`, { spec: { user: 'ann', ...spec } })).body['status'] as Json)['allowed']
  const scale = (name: string): Json => ({ resourceAttributes: { verb: 'patch', group: 'apps', resource: 'deployments', subresource: 'scale', namespace: 'default', name } })
  t.equal(await allowed('subjectaccessreviews', scale('web')), true)
  t.equal(await allowed('subjectaccessreviews', scale('other')), false)
  t.equal(await allowed('namespaces/default/localsubjectaccessreviews', scale('web')), true)
  t.match(await ask(server, 'POST', `${reviews}/namespaces/kube-system/localsubjectaccessreviews`, { spec: { user: 'ann', ...scale('web') } }), { status: 400 })
  t.equal(await allowed('subjectaccessreviews', { nonResourceAttributes: { verb: 'get', path: '/healthz/etcd' } }), true)
  t.equal(await allowed('subjectaccessreviews', { nonResourceAttributes: { verb: 'get', path: '/metrics' } }), false)
  t.equal(await allowed('subjectaccessreviews', { user: '', groups: ['system:masters'], ...scale('other') }), true)
  t.match(await ask(server, 'POST', `${reviews}/subjectaccessreviews`, { spec: scale('web') }), { status: 400 }, 'about nobody')
})

t.test('a bound token is verified by its issuer\'s keys, holds for its audience, and ends with its pod', async (t) => {
  const { server } = await startTestServer(t)
  await ask(server, 'POST', '/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'robot' } })
  const { body } = await ask(server, 'POST', '/api/v1/namespaces/default/pods', pod('p', { serviceAccountName: 'robot' }))
  const { uid } = body['metadata'] as { uid: string }
  const requested = await ask(server, 'POST', '/api/v1/namespaces/default/serviceaccounts/robot/token', { spec: { audiences: ['vault'], expirationSeconds: 600, boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: 'p', uid } } })
  const { token } = requested.body['status'] as { token: string }
  const [head = '', payload = '', signature = ''] = token.split('.')

  const { keys } = (await ask(server, 'GET', '/openid/v1/jwks')).body as { keys: { kid: string; kty: string }[] }
  const { kid, alg } = JSON.parse(Buffer.from(head, 'base64url').toString()) as { kid: string; alg: string }
  const key = createPublicKey({ key: keys.find((one) => one.kid === kid)!, format: 'jwk' })
  t.equal(alg, 'ES256')
  t.ok(verify('sha256', Buffer.from(`${head}.${payload}`), { key, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url')))
  const { issuer } = (await ask(server, 'GET', '/.well-known/openid-configuration')).body
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Json
  t.match(claims, { iss: issuer, aud: ['vault'], sub: 'system:serviceaccount:default:robot', 'kubernetes.io': { namespace: 'default', pod: { name: 'p', uid }, serviceaccount: { name: 'robot' } } })
  t.equal(Number(claims['exp']) - Number(claims['iat']), 600)

  const asked = async (audiences: string[]): Promise<Json> => (await ask(server, 'POST', '/apis/authentication.k8s.io/v1/tokenreviews', { spec: { token, audiences } })).body['status'] as Json
  t.match(await asked(['vault']), { authenticated: true, audiences: ['vault'], user: { username: 'system:serviceaccount:default:robot', groups: ['system:serviceaccounts', 'system:serviceaccounts:default'], extra: { 'authentication.kubernetes.io/pod-name': ['p'] } } })
  t.match(await asked(['other']), { authenticated: false })
  t.match(await askOver(t, server.adminKubeconfig(), 'GET', '/api', undefined, token), { status: 401 }, 'it is not for us')
  await ask(server, 'DELETE', '/api/v1/namespaces/default/pods/p', { gracePeriodSeconds: 0 })
  t.match(await asked(['vault']), { authenticated: false })
})

t.test('a bootstrap token is who its secret says, until that says otherwise', async (t) => {
  const { server } = await startTestServer(t)
  const secret = (more: Record<string, string>): Json => ({ metadata: { name: 'bootstrap-token-abcdef', namespace: 'kube-system' }, type: 'bootstrap.kubernetes.io/token', stringData: { 'token-id': 'abcdef', 'token-secret': '0123456789abcdef', 'usage-bootstrap-authentication': 'true', ...more } })
  const path = '/api/v1/namespaces/kube-system/secrets'
  const me = async (): Promise<Json> => {
    const { status, body } = await askOver(t, server.adminKubeconfig(), 'POST', whoami, {}, 'abcdef.0123456789abcdef')
    return { status, ...(body['status'] as Json | undefined) }
  }
  t.match(await me(), { status: 401 })
  await ask(server, 'POST', path, secret({ 'auth-extra-groups': 'system:bootstrappers:mine' }))
  t.match(await me(), { userInfo: { username: 'system:bootstrap:abcdef', groups: ['system:bootstrappers', 'system:bootstrappers:mine', 'system:authenticated'] } })
  await ask(server, 'PUT', `${path}/bootstrap-token-abcdef`, secret({ expiration: '2020-01-01T00:00:00Z' }))
  t.match(await me(), { status: 401 })
  await ask(server, 'PUT', `${path}/bootstrap-token-abcdef`, secret({ 'usage-bootstrap-authentication': 'false' }))
  t.match(await me(), { status: 401 })
})

t.test('a node reads the claims, volumes and accounts of its own pods, and of attachments its own', async (t) => {
  const { server } = await startTestServer(t)
  const claim = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } }
  for (const [name, volumeName] of [['data', 'pv-1'], ['p-scratch', 'pv-2'], ['other', 'pv-3']]) await ask(server, 'POST', '/api/v1/namespaces/default/persistentvolumeclaims', { metadata: { name }, spec: { ...claim, volumeName } })
  for (const name of ['pv-1', 'pv-2', 'pv-3']) await ask(server, 'POST', '/api/v1/persistentvolumes', { metadata: { name }, spec: { accessModes: ['ReadWriteOnce'], capacity: { storage: '1Gi' }, hostPath: { path: '/' } } })
  for (const name of ['robot', 'stranger']) await ask(server, 'POST', '/api/v1/namespaces/default/serviceaccounts', { metadata: { name } })
  for (const name of ['one', 'two']) {
    await ask(server, 'POST', '/apis/storage.k8s.io/v1/volumeattachments', { metadata: { name: `at-${name}` }, spec: { attacher: 'x', nodeName: name, source: { persistentVolumeName: 'pv-1' } } })
    await ask(server, 'POST', '/apis/storage.k8s.io/v1/csinodes', { metadata: { name }, spec: { drivers: [] } })
  }
  const volumes = [{ name: 'v', persistentVolumeClaim: { claimName: 'data' } }, { name: 'scratch', ephemeral: { volumeClaimTemplate: { spec: claim } } }]
  t.equal((await ask(server, 'POST', '/api/v1/namespaces/default/pods', pod('p', { nodeName: 'one', serviceAccountName: 'robot', volumes }))).status, 201)
  const status = async (path: string, node = 'one'): Promise<number> => (await ask(server, 'GET', path, undefined, {}, { name: `system:node:${node}`, groups: ['system:nodes'] })).status
  const within = '/api/v1/namespaces/default'
  const storage = '/apis/storage.k8s.io/v1'
  const cases: [path: string, one: number, two: number][] = [
    [`${within}/persistentvolumeclaims/data`, 200, 403],
    [`${within}/persistentvolumeclaims/p-scratch`, 200, 403],
    [`${within}/persistentvolumeclaims/other`, 403, 403],
    [`${within}/persistentvolumeclaims`, 403, 403],
    ['/api/v1/persistentvolumes/pv-1', 200, 403],
    ['/api/v1/persistentvolumes/pv-2', 200, 403],
    ['/api/v1/persistentvolumes/pv-3', 403, 403],
    [`${within}/serviceaccounts/robot`, 200, 403],
    [`${within}/serviceaccounts/stranger`, 403, 403],
    [`${storage}/volumeattachments/at-one`, 200, 403],
    [`${storage}/volumeattachments/at-two`, 403, 200],
    [`${storage}/csinodes/one`, 200, 403],
  ]
  for (const [path, one, two] of cases) t.same([await status(path), await status(path, 'two')], [one, two], path)
})
