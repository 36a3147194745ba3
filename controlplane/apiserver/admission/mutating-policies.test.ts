// Mutating policies as clients of the API notice them.
import t from 'tap'
import type { Test } from 'tap'
import type { ApiServer } from '../index.ts'
import { ask, pod, startTestServer } from '../test-support/server.ts'
import { patched, reviewed, startWebhook } from '../test-support/webhook.ts'

const group = '/apis/admissionregistration.k8s.io/v1'
const maps = '/api/v1/namespaces/default/configmaps'
const rulesFor = (resource: string): object[] => [{ operations: ['*'], apiGroups: [''], apiVersions: ['*'], resources: [resource] }]
const map = (name: string, data: object = {}, labels: object = {}): object => ({ metadata: { name, labels }, data })
const apply = (expression: string): object => ({ patchType: 'ApplyConfiguration', applyConfiguration: { expression } })
const patch = (expression: string): object => ({ patchType: 'JSONPatch', jsonPatch: { expression } })

async function bind(t: Test, server: ApiServer, spec: object, { name = 'p', resource = 'configmaps', binding = {} } = {}): Promise<void> {
  for (const [plural, body] of [
    ['mutatingadmissionpolicies', { metadata: { name }, spec: { reinvocationPolicy: 'Never', matchConstraints: { resourceRules: rulesFor(resource) }, ...spec } }],
    ['mutatingadmissionpolicybindings', { metadata: { name }, spec: { policyName: name, ...binding } }],
  ] as const) {
    await ask(server, 'DELETE', `${group}/${plural}/${name}`)
    const made = await ask(server, 'POST', `${group}/${plural}`, body)
    t.equal(made.status, 201, made.text.slice(0, 300))
  }
}

t.test('configurations are applied and patches too, one after the other', async (t) => {
  const { server } = await startTestServer(t)
  await bind(t, server, {
    variables: [{ name: 'team', expression: "'team-' + object.metadata.name" }],
    matchConditions: [{ name: 'wanted', expression: "object.metadata.name != 'spared'" }],
    mutations: [
      apply('Object{metadata: Object.metadata{labels: {"team": variables.team}}}'),
      patch('[JSONPatch{op: "test", path: "/metadata/labels/team", value: "team-x"}, JSONPatch{op: "add", path: "/metadata/labels/" + jsonpatch.escapeKey("example.com/y"), value: "z"}]'),
    ],
  })
  t.match((await ask(server, 'POST', maps, map('x', {}, { own: 'a' }))).body, { metadata: { labels: { own: 'a', team: 'team-x', 'example.com/y': 'z' } } })
  t.match((await ask(server, 'POST', maps, map('w', {}, { own: 'a' }))).body, { metadata: { labels: { own: 'a', team: 'team-w', 'example.com/y': undefined } } }, 'a patch whose test fails is not applied')
  t.notMatch((await ask(server, 'POST', maps, map('spared', {}, { own: 'a' }))).text, /team/)
  t.match((await ask(server, 'PATCH', `${maps}/x`, { metadata: { labels: { team: 'mine' } } }, { 'content-type': 'application/merge-patch+json' })).body, { metadata: { labels: { team: 'team-x' } } }, 'updates, too')
  t.equal((await ask(server, 'DELETE', `${maps}/x`)).status, 200)
})

t.test('a sidecar is merged into the list by its name, gets defaults, and the built-in plugins see it', async (t) => {
  const { server } = await startTestServer(t)
  await bind(t, server, { mutations: [apply('Object{spec: Object.spec{containers: [Object.spec.containers{name: "side", image: "busybox:1"}, Object.spec.containers{name: "main", workingDir: "/w"}]}}')] }, { resource: 'pods' })
  const made = (await ask(server, 'POST', '/api/v1/namespaces/default/pods', pod('p'))).body['spec'] as { containers: { name: string }[] }
  const named = (name: string): object | undefined => made.containers.find((one) => one.name === name)
  t.match(named('main'), { image: 'busybox:1', workingDir: '/w' })
  t.match(named('side'), { image: 'busybox:1', imagePullPolicy: 'IfNotPresent', volumeMounts: [{ mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' }] })
})

t.test('parameters, and what goes wrong', async (t) => {
  const { server } = await startTestServer(t)
  await ask(server, 'POST', '/api/v1/namespaces/kube-system/configmaps', map('settings', { label: 'from-params' }))
  const paramKind = { apiVersion: 'v1', kind: 'ConfigMap' }
  await bind(t, server, { paramKind, mutations: [apply('Object{metadata: Object.metadata{labels: {"p": params.data.label}}}')] }, { binding: { paramRef: { name: 'settings', namespace: 'kube-system', parameterNotFoundAction: 'Deny' } } })
  t.match((await ask(server, 'POST', `${maps}?dryRun=All`, map('x'))).body, { metadata: { labels: { p: 'from-params' } } })
  const cases: [mutation: object, message: RegExp][] = [
    [apply('Object{data: {"a": object.data.missing}}'), /^policy 'p' with binding 'p' denied request: expression 'Object\{data: .*' resulted in error: No such key: missing/],
    [apply('Object{nonsense: 1}'), /unknown field "nonsense"/],
    [patch('[JSONPatch{op: "replace", path: "/data/nothing", value: "x"}]'), /JSON Patch: .*replace operation does not apply/],
  ]
  for (const [mutation, message] of cases) {
    await bind(t, server, { mutations: [mutation] })
    t.match(await ask(server, 'POST', `${maps}?dryRun=All`, map('x')), { status: 422, body: { reason: 'Invalid', message } })
    await bind(t, server, { mutations: [mutation], failurePolicy: 'Ignore' })
    t.equal((await ask(server, 'POST', `${maps}?dryRun=All`, map('x'))).status, 201)
  }
  await bind(t, server, { mutations: [apply('Object{spec: Object.spec{containers: [Object.spec.containers{name: "main", command: ["sh"]}]}}')] }, { resource: 'pods' })
  t.match(await ask(server, 'POST', '/api/v1/namespaces/default/pods', pod('p')), { status: 422, body: { message: /may not mutate atomic arrays, maps or structs: .spec.containers\[0\].command/ } })
})

t.test('a policy that wants to see what a webhook changed is asked again', async (t) => {
  const hook = await startWebhook(t, (_, body) => {
    const { data = {} } = (body['request'] as { object: { data?: Record<string, string> } }).object
    return data['hook'] === undefined ? patched(body, [{ op: 'add', path: '/data', value: { ...data, hook: 'was here' } }]) : reviewed(body, {})
  })
  const { server } = await startTestServer(t)
  await ask(server, 'POST', `${group}/mutatingwebhookconfigurations`, { metadata: { name: 'h' }, webhooks: [{ name: 'h.example.com', clientConfig: hook.clientConfig('/'), rules: rulesFor('configmaps'), sideEffects: 'None', admissionReviewVersions: ['v1'] }] })
  const mutations = [apply('Object{metadata: Object.metadata{labels: {"size": string(size(object.data))}}}')]
  await bind(t, server, { mutations, reinvocationPolicy: 'IfNeeded' }, { name: 'again' })
  t.match((await ask(server, 'POST', maps, map('x', { a: '1' }))).body, { data: { hook: 'was here' }, metadata: { labels: { size: '2' } } })
  await bind(t, server, { mutations }, { name: 'again' })
  t.match((await ask(server, 'POST', maps, map('y', { a: '1' }))).body, { data: { hook: 'was here' }, metadata: { labels: { size: '1' } } })
})

t.test('mutating policies and their bindings are held to the rules', async (t) => {
  const { server } = await startTestServer(t)
  const policy = { reinvocationPolicy: 'Never', matchConstraints: { resourceRules: rulesFor('configmaps') }, mutations: [apply('Object{}')] }
  const cases: [plural: string, spec: object, field: string][] = [
    ['mutatingadmissionpolicies', { ...policy, reinvocationPolicy: undefined }, 'spec.reinvocationPolicy'],
    ['mutatingadmissionpolicies', { ...policy, mutations: [] }, 'spec.mutations'],
    ['mutatingadmissionpolicies', { ...policy, mutations: [{ patchType: 'Magic' }] }, 'spec.mutations[0].patchType'],
    ['mutatingadmissionpolicies', { ...policy, mutations: [{ patchType: 'JSONPatch' }] }, 'spec.mutations[0].jsonPatch'],
    ['mutatingadmissionpolicies', { ...policy, mutations: [{ ...apply('Object{}'), jsonPatch: { expression: '[]' } }] }, 'spec.mutations[0].jsonPatch'],
    ['mutatingadmissionpolicies', { ...policy, mutations: [apply('1')] }, 'spec.mutations[0].applyConfiguration.expression'],
    ['mutatingadmissionpolicies', { ...policy, mutations: [patch('Object{')] }, 'spec.mutations[0].jsonPatch.expression'],
    ['mutatingadmissionpolicies', { ...policy, mutations: [apply('Object{data: variables.none}')] }, 'spec.mutations[0].applyConfiguration.expression'],
    ['mutatingadmissionpolicies', { ...policy, matchConstraints: { resourceRules: [{ operations: ['DELETE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] }] } }, 'spec.matchConstraints.resourceRules[0].operations[0]'],
    ['mutatingadmissionpolicybindings', {}, 'spec.policyName'],
  ]
  for (const [plural, spec, field] of cases) t.match(await ask(server, 'POST', `${group}/${plural}`, { metadata: { name: 'y' }, spec }), { status: 422, body: { details: { causes: [{ field }] } } }, `${JSON.stringify(spec)} is wrong at ${field}`)
})
