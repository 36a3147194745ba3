// Webhooks as clients of the API notice them: refused, changed, warned, and not noticed.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import type { ApiServer } from '../index.ts'
import { ask, pod, startTestServer } from '../test-support/server.ts'
import type { Answer } from '../test-support/server.ts'
import { patched, reviewed, startWebhook } from '../test-support/webhook.ts'
import type { Webhook } from '../test-support/webhook.ts'

type Json = Record<string, unknown>

const group = '/apis/admissionregistration.k8s.io/v1'
const maps = '/api/v1/namespaces/default/configmaps'
const rule = (resources: readonly string[], operations: readonly string[] = ['*']): object => ({ operations, apiGroups: ['*'], apiVersions: ['*'], resources })

interface Wanted {
  readonly kind?: 'Mutating' | 'Validating'
  readonly name?: string
  readonly more?: object
  readonly resources?: readonly string[]
  readonly path?: string
}

function configuration(hook: Webhook, { kind = 'Validating', name = 'a', more = {}, resources = ['configmaps'], path = `/${name}` }: Wanted = {}): readonly [string, object] {
  const webhook = { name: `${name}.example.com`, clientConfig: hook.clientConfig(path), rules: [rule(resources)], sideEffects: 'None', admissionReviewVersions: ['v1'], ...more }
  return [`${group}/${kind.toLowerCase()}webhookconfigurations`, { metadata: { name }, webhooks: [webhook] }]
}

async function register(t: Test, server: ApiServer, ...wanted: (readonly [string, object])[]): Promise<void> {
  for (const [path, body] of wanted) {
    const made = await ask(server, 'POST', path, body)
    t.equal(made.status, 201, made.text.slice(0, 300))
  }
}

const map = (name: string, more: object = {}, data: object = { a: '1' }): object => ({ metadata: { name, ...more }, data })
const requestOf = (hook: Webhook, at = -1): Json => hook.posted.at(at)?.body['request'] as Json

t.test('a validating webhook refuses with its own code, reason and words', async (t) => {
  const answers: Record<string, Json> = {
    coded: { allowed: false, status: { code: 418, reason: 'Teapot', message: 'short and stout', details: { kind: 'teapots' } } },
    reasoned: { allowed: false, status: { reason: 'BecauseISaySo' } },
    silent: { allowed: false },
    fine: { warnings: ['it is "fine"'], auditAnnotations: { why: 'not' } },
  }
  const hook = await startWebhook(t, (_, body) => reviewed(body, answers[(body['request'] as Json)['name'] as string] ?? {}))
  const { server } = await startTestServer(t)
  await register(t, server, configuration(hook))
  t.match(await ask(server, 'POST', maps, map('coded')), { status: 418, body: { message: 'admission webhook "a.example.com" denied the request: short and stout', reason: 'Teapot', details: { kind: 'teapots' } } })
  t.match(await ask(server, 'POST', maps, map('reasoned')), { status: 400, body: { message: 'admission webhook "a.example.com" denied the request: BecauseISaySo' } })
  t.match(await ask(server, 'POST', maps, map('silent')), { status: 400, body: { message: 'admission webhook "a.example.com" denied the request without explanation' } })
  t.match(await ask(server, 'POST', maps, map('fine')), { status: 201, headers: { warning: '299 - "it is \\"fine\\""' } })
})

t.test('the request tells all of what is asked', async (t) => {
  const hook = await startWebhook(t, (_, body) => reviewed(body, {}))
  const { server } = await startTestServer(t)
  await register(t, server, configuration(hook))
  await ask(server, 'POST', `${maps}?fieldManager=me&dryRun=All`, map('x'), {}, { name: 'jane', groups: ['system:masters', 'g'] })
  const configMap = { group: '', version: 'v1', kind: 'ConfigMap' }
  const resource = { group: '', version: 'v1', resource: 'configmaps' }
  t.match(hook.posted[0]?.body, { kind: 'AdmissionReview', apiVersion: 'admission.k8s.io/v1' })
  t.match(requestOf(hook), {
    uid: /^[0-9a-f-]{36}$/, kind: configMap, resource, requestKind: configMap, requestResource: resource, name: 'x', namespace: 'default', operation: 'CREATE',
    userInfo: { username: 'jane', groups: ['system:masters', 'g', 'system:authenticated'] }, object: { kind: 'ConfigMap', apiVersion: 'v1', data: { a: '1' } }, oldObject: null, dryRun: true,
    options: { kind: 'CreateOptions', apiVersion: 'meta.k8s.io/v1', dryRun: ['All'], fieldManager: 'me' },
  })
  t.equal(hook.posted[0]?.path, '/a')
  await ask(server, 'POST', maps, map('x'))
  await ask(server, 'PATCH', `${maps}/x`, { data: { a: '2' } }, { 'content-type': 'application/merge-patch+json' })
  t.match(requestOf(hook), { operation: 'UPDATE', object: { data: { a: '2' } }, oldObject: { data: { a: '1' } }, dryRun: false, options: { kind: 'UpdateOptions' } })
  await ask(server, 'DELETE', `${maps}/x`, { kind: 'DeleteOptions', apiVersion: 'v1', propagationPolicy: 'Foreground' })
  t.match(requestOf(hook), { operation: 'DELETE', object: null, oldObject: { data: { a: '2' } }, options: { kind: 'DeleteOptions', propagationPolicy: 'Foreground' } })
})

t.test('subresources, connections and collections are asked about as such', async (t) => {
  const hook = await startWebhook(t, (_, body) => reviewed(body, { allowed: (body['request'] as Json)['operation'] !== 'CONNECT' && (body['request'] as Json)['subResource'] === undefined }))
  const { server } = await startTestServer(t)
  await ask(server, 'POST', '/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'default' } })
  await ask(server, 'POST', '/api/v1/namespaces/default/pods', pod('p'))
  await ask(server, 'POST', '/api/v1/namespaces/default/services', { metadata: { name: 's' }, spec: { ports: [{ port: 80 }] } })
  await ask(server, 'POST', '/apis/apps/v1/namespaces/default/replicasets', { metadata: { name: 'r' }, spec: { selector: { matchLabels: { a: 'b' } }, template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'x' }] } } } })
  await register(t, server, configuration(hook, { resources: ['*/*'] }))
  const merge = { 'content-type': 'application/merge-patch+json' }
  const cases: [method: string, path: string, body: unknown, seen: Json][] = [
    ['PATCH', '/api/v1/namespaces/default/pods/p/status', { status: { phase: 'Running' } }, { operation: 'UPDATE', subResource: 'status', kind: { kind: 'Pod' } }],
    ['POST', '/api/v1/namespaces/default/pods/p/binding', { target: { name: 'n' } }, { operation: 'CREATE', subResource: 'binding', kind: { kind: 'Binding' }, object: { target: { name: 'n' } } }],
    ['POST', '/api/v1/namespaces/default/pods/p/eviction', { metadata: { name: 'p' } }, { operation: 'CREATE', subResource: 'eviction', kind: { group: 'policy', kind: 'Eviction' } }],
    ['PATCH', '/apis/apps/v1/namespaces/default/replicasets/r/scale', { spec: { replicas: 3 } }, { operation: 'UPDATE', subResource: 'scale', kind: { group: 'autoscaling', kind: 'Scale' }, object: { spec: { replicas: 3 } }, oldObject: { spec: { replicas: 1 } } }],
    ['POST', '/api/v1/namespaces/default/serviceaccounts/default/token', { spec: {} }, { operation: 'CREATE', subResource: 'token', kind: { kind: 'TokenRequest' } }],
  ]
  for (const [method, path, body, seen] of cases) {
    const answer: Answer = await ask(server, method, path, body, method === 'PATCH' ? merge : {})
    t.match(answer.body, { message: /^admission webhook "a.example.com" denied the request/ }, `${method} ${path}`)
    t.match(requestOf(hook), seen, `${method} ${path}`)
  }
  const before = hook.posted.length
  for (const name of ['x', 'y']) await ask(server, 'POST', maps, map(name))
  await ask(server, 'DELETE', maps)
  t.same(hook.posted.slice(before + 2).map(({ body }) => `${String((body['request'] as Json)['operation'])} ${String((body['request'] as Json)['name'])}`).toSorted(), ['DELETE x', 'DELETE y'])
  t.match((await ask(server, 'POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', { spec: { nonResourceAttributes: { path: '/', verb: 'get' } } })).status, 201)
  t.match(requestOf(hook), { operation: 'CREATE', kind: { kind: 'SelfSubjectAccessReview' } })
})

t.test('selectors, scope, match conditions and operations say what is asked about', async (t) => {
  const hook = await startWebhook(t, (_, body) => reviewed(body, { allowed: false, status: { message: 'no' } }))
  const { server } = await startTestServer(t)
  await ask(server, 'POST', '/api/v1/namespaces', { metadata: { name: 'watched', labels: { watched: 'yes' } } })
  const elsewhere = '/api/v1/namespaces/watched/configmaps'
  const cases: [what: string, more: object, path: string, body: object, isAsked: boolean][] = [
    ['another namespace', { namespaceSelector: { matchLabels: { watched: 'yes' } } }, maps, map('x'), false],
    ['the namespace', { namespaceSelector: { matchLabels: { watched: 'yes' } } }, elsewhere, map('x'), true],
    ['a namespace itself', { namespaceSelector: { matchLabels: { new: 'yes' } }, rules: [rule(['namespaces'])] }, '/api/v1/namespaces', { metadata: { name: 'n', labels: { new: 'yes' } } }, true],
    ['an object without the label', { objectSelector: { matchExpressions: [{ key: 'seen', operator: 'Exists' }] } }, maps, map('x'), false],
    ['an object with the label', { objectSelector: { matchExpressions: [{ key: 'seen', operator: 'Exists' }] } }, maps, map('x', { labels: { seen: '' } }), true],
    ['cluster scope only', { rules: [{ ...rule(['*']), scope: 'Cluster' }] }, maps, map('x'), false],
    ['namespaced only', { rules: [{ ...rule(['*']), scope: 'Namespaced' }] }, maps, map('x'), true],
    ['another operation', { rules: [rule(['configmaps'], ['UPDATE', 'DELETE'])] }, maps, map('x'), false],
    ['a subresource only', { rules: [rule(['configmaps/status'])] }, maps, map('x'), false],
    ['a resource with all its subresources', { rules: [rule(['configmaps/*'])] }, maps, map('x'), true],
    ['another group', { rules: [{ ...rule(['*']), apiGroups: ['apps'] }] }, maps, map('x'), false],
    ['a condition that does not hold', { matchConditions: [{ name: 'a', expression: 'object.data.a == "2"' }] }, maps, map('x'), false],
    ['conditions that hold', { matchConditions: [{ name: 'a', expression: 'object.data.a == "1"' }, { name: 'b', expression: 'request.userInfo.username == "admin" && authorizer.requestResource.check("create").allowed()' }] }, maps, map('x'), true],
  ]
  for (const [what, more, path, body, isAsked] of cases) {
    const [at, wanted] = configuration(hook, { more })
    await register(t, server, [at, wanted])
    t.equal((await ask(server, 'POST', `${path}?dryRun=All`, body)).status === 400, isAsked, what)
    await ask(server, 'DELETE', `${at}/a`)
  }
  await register(t, server, configuration(hook, { more: { matchConditions: [{ name: 'a', expression: 'object.data.nothing == "2"' }] } }))
  t.match(await ask(server, 'POST', maps, map('x')), { status: 403, body: { message: /^configmaps "x" is forbidden: expression 'object.data.nothing == "2"' resulted in error: No such key/i } })
})

t.test('validating webhooks are asked at once, and of several refusals that of the first by name counts', async (t) => {
  const both = Promise.withResolvers<void>()
  const hook = await startWebhook(t, async (path, body) => {
    if (hook.posted.length === 2) both.resolve()
    await both.promise
    return reviewed(body, { allowed: false, status: { message: path } })
  })
  const { server } = await startTestServer(t)
  await register(t, server, configuration(hook, { name: 'b' }), configuration(hook, { name: 'a' }))
  t.match((await ask(server, 'POST', maps, map('x'))).body, { message: 'admission webhook "a.example.com" denied the request: /a' })
})

t.test('a webhook that fails is passed over or not, as it says', async (t) => {
  const hook = await startWebhook(t, (path, body) => (path === '/down' ? 500 : path === '/late' ? undefined : path === '/other' ? { ...reviewed(body, {}), response: { uid: 'x', allowed: true } } : reviewed(body, { patch: 'e30=' })))
  const { server } = await startTestServer(t)
  const cases: [path: string, more: object, message: RegExp][] = [
    ['/down', {}, /^Internal error occurred: failed calling webhook "a.example.com": failed to call webhook: Post "https:\/\/127.0.0.1:\d+\/down\?timeout=10s": the server answered 500: no$/],
    ['/late', { timeoutSeconds: 1 }, /\/late\?timeout=1s": context deadline exceeded$/],
    ['/other', {}, /expected response.uid="/],
    ['/patch', {}, /webhook response.patch is not allowed/],
  ]
  for (const [path, more, message] of cases) {
    for (const failurePolicy of path === '/late' ? ['Fail'] : ['Fail', 'Ignore']) {
      const [at, wanted] = configuration(hook, { path, more: { ...more, failurePolicy } })
      await register(t, server, [at, wanted])
      const answer = await ask(server, 'POST', `${maps}?dryRun=All`, map('x'))
      if (failurePolicy === 'Fail') t.match(answer, { status: 500, body: { message, reason: 'InternalError' } })
      else t.equal(answer.status, 201, `${path} is passed over`)
      await ask(server, 'DELETE', `${at}/a`)
    }
  }
})

t.test('the audit log tells what webhooks noted, changed and did not answer', async (t) => {
  const hook = await startWebhook(t, (path, body) => (path === '/down' ? 500 : path === '/change' ? patched(body, [{ op: 'add', path: '/data/b', value: '2' }]) : reviewed(body, { auditAnnotations: { why: 'because' } })))
  const auditLogPath = join(t.testdir(), 'audit.log')
  const { server } = await startTestServer(t, { audit: { path: auditLogPath } })
  await register(t, server, configuration(hook, { name: 'note' }), configuration(hook, { name: 'down', more: { failurePolicy: 'Ignore' } }), configuration(hook, { name: 'change', kind: 'Mutating' }))
  t.equal((await ask(server, 'POST', maps, map('x'))).status, 201)
  await server.stop()
  const event = readFileSync(auditLogPath, 'utf8').split('\n').find((line) => line.includes('/configmaps"') && line.includes('"annotations"'))
  t.match((JSON.parse(event ?? '{}') as Json)['annotations'], {
    'note.example.com/why': 'because', 'failed-open.validation.webhook.admission.k8s.io/down.example.com': /the server answered 500/,
    'mutation.webhook.admission.k8s.io/round_0_index_0': '{"configuration":"change","webhook":"change.example.com","mutated":true}',
  })
})

t.test('mutating webhooks change the object in the order of their names; what no field fits goes, what is wrong is refused', async (t) => {
  const hook = await startWebhook(t, (path, body) => {
    const { labels = {} } = ((body['request'] as Json)['object'] as { metadata: { labels?: Json } }).metadata
    if (path === '/b') return patched(body, [{ op: 'add', path: '/metadata/labels', value: { ...labels, b: 'yes' } }, { op: 'add', path: '/nonsense', value: 1 }, { op: 'add', path: '/metadata/uid', value: 'mine' }])
    if (path === '/c') return patched(body, [{ op: 'add', path: '/metadata/labels/c', value: 'after-b' }])
    if (path === '/pods') return patched(body, [{ op: 'add', path: '/spec/containers/-', value: { name: 'side', image: 'busybox:1' } }])
    return patched(body, [{ op: 'replace', path: '/data/nothing/here', value: 'x' }])
  })
  const { server } = await startTestServer(t)
  const mutating = (name: string, more: object = {}, resources = ['configmaps']): readonly [string, object] => configuration(hook, { kind: 'Mutating', name, more, resources })
  await register(t, server, mutating('c'), mutating('b'), mutating('pods', {}, ['pods']))
  const made = await ask(server, 'POST', maps, map('x'))
  t.match(made, { status: 201, body: { metadata: { labels: { b: 'yes', c: 'after-b' } } } }, made.text.slice(0, 300))
  t.notOk('nonsense' in made.body)
  t.not((made.body['metadata'] as Json)['uid'], 'mine')
  await ask(server, 'POST', '/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'default' } })
  const sidecar = await ask(server, 'POST', '/api/v1/namespaces/default/pods', pod('p'))
  const side = (sidecar.body['spec'] as { containers: { name: string; imagePullPolicy: string; volumeMounts: unknown[] }[] }).containers[1]
  t.match(side, { name: 'side', imagePullPolicy: 'IfNotPresent', volumeMounts: [{ mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' }] }, 'defaults and the built-in plugins come after it')
  await register(t, server, mutating('z', { failurePolicy: 'Ignore' }))
  t.match(await ask(server, 'POST', maps, map('y')), { status: 500, body: { message: /the patch of admission webhook "z.example.com" does not apply/ } })
})

t.test('one that wants to see the changes of those after it is asked again', async (t) => {
  const hook = await startWebhook(t, (path, body) => {
    const { labels = {} } = ((body['request'] as Json)['object'] as { metadata: { labels?: Json } }).metadata
    return path === '/b' && labels['b'] === undefined ? patched(body, [{ op: 'add', path: '/metadata/labels', value: { b: 'yes' } }]) : reviewed(body, {})
  })
  const { server } = await startTestServer(t)
  await register(t, server, configuration(hook, { kind: 'Mutating', name: 'a', more: { reinvocationPolicy: 'IfNeeded' } }), configuration(hook, { kind: 'Mutating', name: 'b' }), configuration(hook, { kind: 'Mutating', name: 'c', more: { reinvocationPolicy: 'IfNeeded' } }))
  t.equal((await ask(server, 'POST', maps, map('x'))).status, 201)
  t.same(hook.posted.map(({ path }) => path), ['/a', '/b', '/c', '/a'])
})

t.test('nobody is asked about webhooks, and the server itself is not asked about what it does', async (t) => {
  const hook = await startWebhook(t, () => 500)
  const { server, store } = await startTestServer(t)
  await register(t, server, configuration(hook, { resources: ['*/*'] }), configuration(hook, { kind: 'Mutating', resources: ['*/*'] }))
  t.equal((await ask(server, 'POST', maps, map('x'))).status, 500)
  await server.stop()
  const next = (await startTestServer(t, { store })).server
  t.equal((await ask(next, 'POST', maps, map('x'))).status, 500, 'a server that starts amid them is ready')
  t.equal((await ask(next, 'DELETE', `${group}/mutatingwebhookconfigurations/a`)).status, 200)
  t.equal((await ask(next, 'DELETE', `${group}/validatingwebhookconfigurations/a`)).status, 200)
  t.equal((await ask(next, 'POST', maps, map('x'))).status, 201)
})

t.test('a rule for another version of a kind is meant for all, unless it is to be exact', async (t) => {
  const hook = await startWebhook(t, (_, body) => reviewed(body, { allowed: false }))
  const { server } = await startTestServer(t)
  const scaler = { metadata: { name: 'x' }, spec: { scaleTargetRef: { kind: 'Deployment', name: 'x' }, maxReplicas: 2, targetCPUUtilizationPercentage: 50 } }
  const rules = [{ operations: ['CREATE'], apiGroups: ['autoscaling'], apiVersions: ['v2'], resources: ['horizontalpodautoscalers'] }]
  await register(t, server, configuration(hook, { more: { rules, matchPolicy: 'Exact' } }))
  t.equal((await ask(server, 'POST', '/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers?dryRun=All', scaler)).status, 201)
  await ask(server, 'PATCH', `${group}/validatingwebhookconfigurations/a`, { webhooks: [{ name: 'a.example.com', matchPolicy: 'Equivalent' }] }, { 'content-type': 'application/strategic-merge-patch+json' })
  t.equal((await ask(server, 'POST', '/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers?dryRun=All', scaler)).status, 400)
  t.match(requestOf(hook), { kind: { version: 'v2' }, requestKind: { version: 'v1' }, object: { apiVersion: 'autoscaling/v2', spec: { metrics: [{ type: 'Resource', resource: { name: 'cpu' } }] } } })
})

t.test('of a custom resource, a webhook sees the version that it asks for, and may change it', async (t) => {
  const hook = await startWebhook(t, (_, body) => patched(body, [{ op: 'add', path: '/spec/seen', value: 'yes' }]))
  const { server } = await startTestServer(t)
  const version = (name: string, storage: boolean): object => ({ name, served: true, storage, schema: { openAPIV3Schema: { type: 'object', properties: { spec: { type: 'object', properties: { seen: { type: 'string' }, size: { type: 'integer', default: 3 } } } } } } })
  await ask(server, 'POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', {
    metadata: { name: 'widgets.example.com' }, spec: { group: 'example.com', scope: 'Namespaced', names: { plural: 'widgets', kind: 'Widget' }, versions: [version('v1', true), version('v1beta1', false)] },
  })
  await register(t, server, configuration(hook, { kind: 'Mutating', more: { rules: [{ operations: ['*'], apiGroups: ['example.com'], apiVersions: ['v1'], resources: ['widgets'] }] } }))
  const made = await ask(server, 'POST', '/apis/example.com/v1beta1/namespaces/default/widgets', { apiVersion: 'example.com/v1beta1', kind: 'Widget', metadata: { name: 'w' }, spec: {} })
  t.match(made, { status: 201, body: { apiVersion: 'example.com/v1beta1', spec: { seen: 'yes', size: 3 } } }, made.text.slice(0, 300))
  t.match(requestOf(hook), { kind: { group: 'example.com', version: 'v1', kind: 'Widget' }, requestKind: { version: 'v1beta1' }, object: { apiVersion: 'example.com/v1' } })
})

t.test('configurations get defaults and are held to the rules', async (t) => {
  const { server } = await startTestServer(t)
  const path = `${group}/mutatingwebhookconfigurations`
  const least = { name: 'a.example.com', clientConfig: { service: { namespace: 'n', name: 's' } }, rules: [rule(['pods'])], sideEffects: 'None', admissionReviewVersions: ['v1'] }
  t.match((await ask(server, 'POST', path, { metadata: { name: 'x' }, webhooks: [least] })).body, {
    webhooks: [{ failurePolicy: 'Fail', matchPolicy: 'Equivalent', namespaceSelector: {}, objectSelector: {}, timeoutSeconds: 10, reinvocationPolicy: 'Never', rules: [{ scope: '*' }], clientConfig: { service: { port: 443 } } }],
  })
  const cases: [more: object, field: string][] = [
    [{ name: 'short' }, 'webhooks[0].name'],
    [{ clientConfig: {} }, 'webhooks[0].clientConfig'],
    [{ clientConfig: { url: 'http://example.com' } }, 'webhooks[0].clientConfig.url'],
    [{ clientConfig: { url: 'https://user@example.com' } }, 'webhooks[0].clientConfig.url'],
    [{ clientConfig: { service: { namespace: 'n', name: 's', port: 0 } } }, 'webhooks[0].clientConfig.service.port'],
    [{ sideEffects: 'Some' }, 'webhooks[0].sideEffects'],
    [{ timeoutSeconds: 31 }, 'webhooks[0].timeoutSeconds'],
    [{ admissionReviewVersions: ['v2'] }, 'webhooks[0].admissionReviewVersions'],
    [{ failurePolicy: 'Maybe' }, 'webhooks[0].failurePolicy'],
    [{ matchPolicy: 'Some' }, 'webhooks[0].matchPolicy'],
    [{ reinvocationPolicy: 'Often' }, 'webhooks[0].reinvocationPolicy'],
    [{ rules: [{ ...rule(['pods']), operations: ['READ'] }] }, 'webhooks[0].rules[0].operations[0]'],
    [{ rules: [{ ...rule(['pods']), apiGroups: [] }] }, 'webhooks[0].rules[0].apiGroups'],
    [{ rules: [rule(['pods/*', 'pods/status'])] }, 'webhooks[0].rules[0].resources[1]'],
    [{ rules: [{ ...rule(['pods']), scope: 'Galaxy' }] }, 'webhooks[0].rules[0].scope'],
    [{ matchConditions: [{ name: 'a', expression: 'object.' }] }, 'webhooks[0].matchConditions[0].expression'],
    [{ matchConditions: [{ name: 'a', expression: '"text"' }] }, 'webhooks[0].matchConditions[0].expression'],
    [{ matchConditions: [{ name: 'a', expression: 'nobody.knows' }] }, 'webhooks[0].matchConditions[0].expression'],
    [{ namespaceSelector: { matchExpressions: [{ key: 'a', operator: 'In' }] } }, 'webhooks[0].namespaceSelector.matchExpressions[0].values'],
  ]
  for (const [more, field] of cases) {
    const answer = await ask(server, 'POST', path, { metadata: { name: 'y' }, webhooks: [{ ...least, ...more }] })
    t.match(answer, { status: 422, body: { details: { causes: [{ field }] } } }, `${JSON.stringify(more)} is wrong at ${field}`)
  }
})
