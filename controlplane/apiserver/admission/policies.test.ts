// Policies as clients of the API notice them.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import type { ApiServer } from '../index.ts'
import { ask, pod, startTestServer } from '../test-support/server.ts'
import type { Answer } from '../test-support/server.ts'

const group = '/apis/admissionregistration.k8s.io/v1'
const maps = '/api/v1/namespaces/default/configmaps'
const rules = [{ operations: ['*'], apiGroups: [''], apiVersions: ['*'], resources: ['configmaps'] }]
const map = (name: string, data: object = {}, more: object = {}): object => ({ metadata: { name, ...more }, data })

async function bind(t: Test, server: ApiServer, spec: object, binding: object = {}, name = 'p'): Promise<void> {
  for (const [plural, body] of [
    ['validatingadmissionpolicies', { metadata: { name }, spec: { matchConstraints: { resourceRules: rules }, ...spec } }],
    ['validatingadmissionpolicybindings', { metadata: { name: `${name}-b` }, spec: { policyName: name, validationActions: ['Deny'], ...binding } }],
  ] as const) {
    await ask(server, 'DELETE', `${group}/${plural}/${plural.endsWith('s') && plural.includes('binding') ? `${name}-b` : name}`)
    const made = await ask(server, 'POST', `${group}/${plural}`, body)
    t.equal(made.status, 201, made.text.slice(0, 300))
  }
}

t.test('what does not hold is refused, with the reason and the words of the policy', async (t) => {
  const { server } = await startTestServer(t)
  const cases: [validation: object, status: number, message: string][] = [
    [{ expression: "object.data.a == 'b'" }, 422, "configmaps \"x\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p-b' denied request: failed expression: object.data.a == 'b'"],
    [{ expression: 'false', message: 'never' }, 422, "configmaps \"x\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p-b' denied request: never"],
    [{ expression: 'false', message: 'never', messageExpression: "'not ' + object.metadata.name", reason: 'Forbidden' }, 403, "configmaps \"x\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p-b' denied request: not x"],
    [{ expression: 'false', message: 'fallback', messageExpression: 'object.metadata.nothing', reason: 'Unauthorized' }, 401, "configmaps \"x\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p-b' denied request: fallback"],
    [{ expression: 'object.data.missing == "b"' }, 422, "configmaps \"x\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p-b' denied request: expression 'object.data.missing == \"b\"' resulted in error: No such key: missing"],
  ]
  for (const [validation, status, message] of cases) {
    await bind(t, server, { validations: [validation] })
    t.match(await ask(server, 'POST', maps, map('x', { a: 'c' })), { status, body: { message } })
  }
  await bind(t, server, { validations: [{ expression: 'object.data.missing == "b"' }], failurePolicy: 'Ignore' })
  t.equal((await ask(server, 'POST', maps, map('x', { a: 'c' }))).status, 201, 'what cannot be decided does not matter')
})

t.test('expressions see the object, what it was, the request, its namespace, variables and who may do what', async (t) => {
  const { server } = await startTestServer(t)
  await ask(server, 'PATCH', '/api/v1/namespaces/default', { metadata: { labels: { team: 'a' } } }, { 'content-type': 'application/merge-patch+json' })
  await bind(t, server, {
    variables: [{ name: 'size', expression: 'size(object.data)' }, { name: 'twice', expression: 'variables.size * 2' }],
    validations: [
      { expression: 'variables.twice == 4' },
      { expression: "request.operation == 'CREATE' && request.userInfo.username == 'jane' && request.resource.resource == 'configmaps' && !request.dryRun" },
      { expression: "namespaceObject.metadata.labels.team == 'a' && oldObject == null" },
      { expression: "authorizer.group('').resource('secrets').namespace('default').check('get').allowed() && authorizer.requestResource.check('update').allowed()" },
      { expression: "!authorizer.serviceAccount('default', 'x').group('').resource('secrets').check('get').allowed()" },
      { expression: "object.metadata.?annotations.?x.orValue('none') == 'none' && params == null" },
    ],
    paramKind: { apiVersion: 'v1', kind: 'ConfigMap' },
  })
  const made = await ask(server, 'POST', maps, map('x', { a: '1', b: '2' }), {}, { name: 'jane', groups: ['system:masters'] })
  t.equal(made.status, 201, made.text)
  await bind(t, server, { validations: [{ expression: "request.operation != 'UPDATE' || object.data.a == oldObject.data.a", message: 'a stays' }, { expression: "request.operation != 'DELETE' || object == null && oldObject.data.a == '2'", message: 'only with 2' }] })
  const patch = (data: object): Promise<Answer> => ask(server, 'PATCH', `${maps}/x`, { data }, { 'content-type': 'application/merge-patch+json' })
  t.match((await patch({ a: '3' })).body, { message: /a stays/ })
  t.equal((await patch({ b: '3' })).status, 200)
  t.match((await ask(server, 'DELETE', `${maps}/x`)).body, { message: /only with 2/ })
})

t.test('parameters are objects that bindings name', async (t) => {
  const { server } = await startTestServer(t)
  for (const [name, max, labels] of [['one', '1', {}], ['two', '2', { limit: 'yes' }], ['three', '3', { limit: 'yes' }]] as const) await ask(server, 'POST', '/api/v1/namespaces/kube-system/configmaps', map(name, { max }, { labels }))
  const policy = { paramKind: { apiVersion: 'v1', kind: 'ConfigMap' }, validations: [{ expression: 'size(object.data) <= int(params.data.max)', messageExpression: "'at most ' + params.data.max" }] }
  const create = (data: object): Promise<Answer> => ask(server, 'POST', `${maps}?dryRun=All`, map('x', data))
  await bind(t, server, policy, { paramRef: { name: 'one', namespace: 'kube-system', parameterNotFoundAction: 'Deny' } })
  t.equal((await create({ a: '' })).status, 201)
  t.match((await create({ a: '', b: '' })).body, { message: /denied request: at most 1$/ })
  await bind(t, server, policy, { paramRef: { selector: { matchLabels: { limit: 'yes' } }, namespace: 'kube-system', parameterNotFoundAction: 'Deny' } })
  t.equal((await create({ a: '', b: '' })).status, 201)
  t.match((await create({ a: '', b: '', c: '' })).body, { message: /at most 2$/ }, 'all that match have to be held')
  await bind(t, server, policy, { paramRef: { name: 'none', namespace: 'kube-system', parameterNotFoundAction: 'Deny' } })
  t.match((await create({ a: '' })).body, { message: /failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction/ })
  await bind(t, server, policy, { paramRef: { name: 'none', namespace: 'kube-system', parameterNotFoundAction: 'Allow' } })
  t.equal((await create({ a: '', b: '', c: '', d: '' })).status, 201)
  await bind(t, server, { ...policy, paramKind: { apiVersion: 'example.com/v1', kind: 'Nothing' } }, { paramRef: { name: 'none', parameterNotFoundAction: 'Deny' } })
  t.match((await create({ a: '' })).body, { message: /paramKind kind `example.com\/v1, Kind=Nothing` not known/ })
})

t.test('bindings narrow what a policy is about, and say what follows', async (t) => {
  const auditLogPath = join(t.testdir(), 'audit.log')
  const { server } = await startTestServer(t, { audit: { path: auditLogPath } })
  await ask(server, 'POST', '/api/v1/namespaces', { metadata: { name: 'prod', labels: { env: 'prod' } } })
  const never = { validations: [{ expression: 'false', message: 'no' }], auditAnnotations: [{ key: 'who', valueExpression: "'it was ' + object.metadata.name" }] }
  await bind(t, server, never, { matchResources: { namespaceSelector: { matchLabels: { env: 'prod' } } } })
  t.equal((await ask(server, 'POST', `${maps}?dryRun=All`, map('x'))).status, 201)
  t.equal((await ask(server, 'POST', '/api/v1/namespaces/prod/configmaps', map('x'))).status, 422)
  await bind(t, server, never, { matchResources: { objectSelector: { matchLabels: { a: 'b' } }, excludeResourceRules: [{ operations: ['*'], apiGroups: [''], apiVersions: ['*'], resources: ['configmaps'], resourceNames: ['spared'] }] } })
  t.equal((await ask(server, 'POST', `${maps}?dryRun=All`, map('x', {}, { labels: { a: 'b' } }))).status, 422)
  t.equal((await ask(server, 'POST', `${maps}?dryRun=All`, map('spared', {}, { labels: { a: 'b' } }))).status, 201)
  await bind(t, server, never, { validationActions: ['Warn', 'Audit'] })
  t.match(await ask(server, 'POST', maps, map('x')), { status: 201, headers: { warning: "299 - \"Validation failed for ValidatingAdmissionPolicy 'p' with binding 'p-b': no\"" } })
  await bind(t, server, { ...never, matchConditions: [{ name: 'named', expression: "object.metadata.name == 'y'" }] })
  t.equal((await ask(server, 'POST', maps, map('z'))).status, 201)
  t.equal((await ask(server, 'POST', maps, map('y'))).status, 422)
  await server.stop()
  const events = readFileSync(auditLogPath, 'utf8').trim().split('\n').map((line) => JSON.parse(line) as { annotations?: Record<string, string> }).filter(({ annotations }) => annotations?.['validation.policy.admission.k8s.io/validation_failure'] !== undefined)
  t.match(events, [{ annotations: { 'p/who': 'it was x' } }])
  t.same(JSON.parse(events[0]?.annotations?.['validation.policy.admission.k8s.io/validation_failure'] ?? ''), [{ message: 'no', policy: 'p', binding: 'p-b', expressionIndex: 0, validationActions: ['Warn', 'Audit'] }])
})

t.test('a policy about connections sees their options', async (t) => {
  const { server } = await startTestServer(t)
  await ask(server, 'POST', '/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'default' } })
  await ask(server, 'POST', '/api/v1/namespaces/default/pods', pod('p'))
  await ask(server, 'PATCH', '/api/v1/namespaces/default/pods/p/status', { status: { phase: 'Running', podIP: '10.0.0.1' } }, { 'content-type': 'application/merge-patch+json' })
  await bind(t, server, { matchConstraints: { resourceRules: [{ operations: ['CONNECT'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods/proxy'] }] }, validations: [{ expression: "object.path != 'secret'", message: 'not there' }] })
  t.match((await ask(server, 'GET', '/api/v1/namespaces/default/pods/p/proxy/secret')).body, { message: /denied request: not there$/ })
})

t.test('an expression that would take too long is not run', async (t) => {
  const { server } = await startTestServer(t)
  const data = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`k${i}`, '']))
  await bind(t, server, { validations: [{ expression: 'object.data.all(a, object.data.all(b, object.data.all(c, a != b || b != c || c != a || true)))' }] })
  t.match((await ask(server, 'POST', maps, map('x', data))).body, { message: /resulted in error: operation cancelled: actual cost limit exceeded$/ })
  t.equal((await ask(server, 'POST', maps, map('x', { a: '', b: '' }))).status, 201)
  await bind(t, server, { validations: Array.from({ length: 100 }, () => ({ expression: "object.data.all(a, object.data.all(b, a != 'x' || b != 'x'))" })) })
  t.match((await ask(server, 'POST', maps, map('y', data))).body, { message: /running out of cost budget/ })
})

t.test('has() of any expression, and whole numbers beyond doubles', async (t) => {
  const { server } = await startTestServer(t)
  await ask(server, 'POST', '/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'default' } })
  const matchConstraints = { resourceRules: [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] }] }
  await bind(t, server, { matchConstraints, validations: [{ expression: '!has(object.spec.containers[0].command) && object.spec.activeDeadlineSeconds == 9007199254740993' }] })
  const body = JSON.stringify(pod('p', { activeDeadlineSeconds: 1 })).replace('"activeDeadlineSeconds":1', '"activeDeadlineSeconds":9007199254740993')
  const made = await ask(server, 'POST', '/api/v1/namespaces/default/pods', body)
  t.notMatch(made.text, /denied request/)
})

t.test('policies and bindings are held to the rules', async (t) => {
  const { server } = await startTestServer(t)
  const policy = { matchConstraints: { resourceRules: rules }, validations: [{ expression: 'true' }] }
  const made = await ask(server, 'POST', `${group}/validatingadmissionpolicies`, { metadata: { name: 'ok' }, spec: policy })
  t.match(made.body, { spec: { failurePolicy: 'Fail', matchConstraints: { matchPolicy: 'Equivalent', namespaceSelector: {}, objectSelector: {}, resourceRules: [{ scope: '*' }] } }, status: { observedGeneration: 1, typeChecking: {} } })
  const cases: [plural: string, spec: object, field: string][] = [
    ['validatingadmissionpolicies', { ...policy, matchConstraints: undefined }, 'spec.matchConstraints'],
    ['validatingadmissionpolicies', { ...policy, validations: [] }, 'spec.validations'],
    ['validatingadmissionpolicies', { ...policy, validations: [{ expression: 'object.a +' }] }, 'spec.validations[0].expression'],
    ['validatingadmissionpolicies', { ...policy, validations: [{ expression: '1' }] }, 'spec.validations[0].expression'],
    ['validatingadmissionpolicies', { ...policy, validations: [{ expression: 'params.a == 1' }] }, 'spec.validations[0].expression'],
    ['validatingadmissionpolicies', { ...policy, validations: [{ expression: 'variables.b' }] }, 'spec.validations[0].expression'],
    ['validatingadmissionpolicies', { ...policy, validations: [{ expression: 'true', messageExpression: '1' }] }, 'spec.validations[0].messageExpression'],
    ['validatingadmissionpolicies', { ...policy, validations: [{ expression: 'true', reason: 'Whim' }] }, 'spec.validations[0].reason'],
    ['validatingadmissionpolicies', { ...policy, variables: [{ name: 'a-b', expression: '1' }] }, 'spec.variables[0].name'],
    ['validatingadmissionpolicies', { ...policy, variables: [{ name: 'a', expression: 'variables.b' }, { name: 'b', expression: '1' }] }, 'spec.variables[0].expression'],
    ['validatingadmissionpolicybindings', { validationActions: ['Deny'] }, 'spec.policyName'],
    ['validatingadmissionpolicybindings', { policyName: 'x' }, 'spec.validationActions'],
    ['validatingadmissionpolicybindings', { policyName: 'x', validationActions: ['Deny', 'Warn'] }, 'spec.validationActions'],
    ['validatingadmissionpolicybindings', { policyName: 'x', validationActions: ['Shrug'] }, 'spec.validationActions[0]'],
    ['validatingadmissionpolicybindings', { policyName: 'x', validationActions: ['Deny'], paramRef: { name: 'a' } }, 'spec.paramRef.parameterNotFoundAction'],
    ['validatingadmissionpolicybindings', { policyName: 'x', validationActions: ['Deny'], paramRef: { parameterNotFoundAction: 'Deny' } }, 'spec.paramRef'],
  ]
  for (const [plural, spec, field] of cases) {
    t.match(await ask(server, 'POST', `${group}/${plural}`, { metadata: { name: 'y' }, spec }), { status: 422, body: { details: { causes: [{ field }] } } }, `${JSON.stringify(spec)} is wrong at ${field}`)
  }
})
