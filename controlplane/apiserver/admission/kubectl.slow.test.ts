// What kubectl 1.35 makes of admission: webhooks over HTTPS, policies, limits, quotas, pod security.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { kubectlPath, run } from '../../../test/support/cluster.ts'
import type { Ran } from '../../../test/support/cluster.ts'
import { startTestServer } from '../test-support/server.ts'
import { patched, reviewed, startWebhook } from '../test-support/webhook.ts'

type Kubectl = (args: readonly string[], input?: unknown) => Promise<Ran>

async function cluster(t: Test): Promise<Kubectl> {
  const { server } = await startTestServer(t)
  const home = mkdtempSync(join(tmpdir(), 'fairway-kubectl-'))
  t.teardown(() => rmSync(home, { recursive: true, force: true }))
  writeFileSync(join(home, 'config'), server.adminKubeconfig())
  const env = { HOME: home, KUBECONFIG: join(home, 'config') }
  const kubectl: Kubectl = (args, input = '') => run(kubectlPath(), [...args], { input: typeof input === 'string' ? input : JSON.stringify(input), timeoutMs: 20_000, env })
  await kubectl(['create', 'serviceaccount', 'default'])
  return kubectl
}

const list = (...items: object[]): object => ({ apiVersion: 'v1', kind: 'List', items })
const group = 'admissionregistration.k8s.io/v1'

t.test('a webhook refuses, changes and warns', async (t) => {
  const kubectl = await cluster(t)
  const hook = await startWebhook(t, (path, body) => {
    const { object } = body['request'] as { object: { metadata: { name: string } } | null }
    if (path === '/mutate') return patched(body, [{ op: 'add', path: '/metadata/annotations', value: { 'example.com/seen': 'yes' } }])
    return object?.metadata.name === 'bad' ? reviewed(body, { allowed: false, status: { code: 403, message: 'not a good name' } }) : reviewed(body, { warnings: ['think twice'] })
  })
  const rules = [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'] }]
  const webhook = (path: string): object => ({ name: `${path.slice(1)}.example.com`, clientConfig: hook.clientConfig(path), rules, sideEffects: 'None', admissionReviewVersions: ['v1'] })
  const applied = await kubectl(['apply', '-f', '-'], list(
    { apiVersion: group, kind: 'MutatingWebhookConfiguration', metadata: { name: 'm' }, webhooks: [webhook('/mutate')] },
    { apiVersion: group, kind: 'ValidatingWebhookConfiguration', metadata: { name: 'v' }, webhooks: [webhook('/validate')] },
  ))
  t.equal(applied.stdout, 'mutatingwebhookconfiguration.admissionregistration.k8s.io/m created\nvalidatingwebhookconfiguration.admissionregistration.k8s.io/v created\n', applied.stderr)
  t.match((await kubectl(['get', 'validatingwebhookconfigurations'])).stdout, /^NAME +WEBHOOKS +AGE\nv +1 +\d+s\n$/)
  t.match(await kubectl(['create', 'configmap', 'good']), { code: 0, stdout: 'configmap/good created\n', stderr: 'Warning: think twice\n' })
  t.equal((await kubectl(['get', 'configmap', 'good', '-o', 'jsonpath={.metadata.annotations}'])).stdout, '{"example.com/seen":"yes"}')
  t.match(await kubectl(['create', 'configmap', 'bad']), { code: 1, stderr: 'error: failed to create configmap: admission webhook "validate.example.com" denied the request: not a good name\n' })
  t.match(await kubectl(['create', 'configmap', 'trial', '--dry-run=server']), { code: 0, stdout: 'configmap/trial created (server dry run)\n' })
  t.match((await kubectl(['explain', 'validatingwebhookconfigurations.webhooks.rules'])).stdout, /apiGroups/)
})

t.test('a policy refuses and warns', async (t) => {
  const kubectl = await cluster(t)
  const policy = (name: string, actions: readonly string[], expression: string): readonly object[] => [
    { apiVersion: group, kind: 'ValidatingAdmissionPolicy', metadata: { name }, spec: { matchConstraints: { resourceRules: [{ operations: ['CREATE', 'UPDATE'], apiGroups: ['apps'], apiVersions: ['v1'], resources: ['deployments'] }] }, validations: [{ expression }] } },
    { apiVersion: group, kind: 'ValidatingAdmissionPolicyBinding', metadata: { name }, spec: { policyName: name, validationActions: actions } },
  ]
  const applied = await kubectl(['apply', '-f', '-'], list(...policy('few', ['Deny'], 'object.spec.replicas <= 5'), ...policy('labelled', ['Warn'], "has(object.metadata.labels) && 'team' in object.metadata.labels")))
  t.equal(applied.code, 0, applied.stderr)
  t.match((await kubectl(['get', 'validatingadmissionpolicies'])).stdout, /^NAME +VALIDATIONS +PARAMKIND +AGE\nfew +1 +<unset> +\d+s\n/)
  t.match(await kubectl(['create', 'deployment', 'web', '--image=x', '--replicas=6']), { code: 1, stderr: "error: failed to create deployment: deployments.apps \"web\" is forbidden: ValidatingAdmissionPolicy 'few' with binding 'few' denied request: failed expression: object.spec.replicas <= 5\n" })
  t.match(await kubectl(['create', 'deployment', 'web', '--image=x', '--replicas=5']), { code: 0, stderr: "Warning: Validation failed for ValidatingAdmissionPolicy 'labelled' with binding 'labelled': failed expression: has(object.metadata.labels) && 'team' in object.metadata.labels\n" }, 'kubectl labels with app, not with team')
  t.match(await kubectl(['patch', 'deployment', 'web', '-p', '{"spec":{"replicas":7}}']), { code: 1, stderr: /denied request: failed expression/ })
})

t.test('limits, quotas and pod security answer in words that kubectl shows', async (t) => {
  const kubectl = await cluster(t)
  await kubectl(['apply', '-f', '-'], list(
    { apiVersion: 'v1', kind: 'LimitRange', metadata: { name: 'l', namespace: 'default' }, spec: { limits: [{ type: 'Container', default: { cpu: '500m' }, max: { cpu: '1' } }] } },
  ))
  t.equal((await kubectl(['create', 'quota', 'q', '--hard=pods=1,requests.cpu=2'])).stdout, 'resourcequota/q created\n')
  t.equal((await kubectl(['run', 'a', '--image=x'])).stdout, 'pod/a created\n')
  t.equal((await kubectl(['get', 'pod', 'a', '-o', 'jsonpath={.spec.containers[0].resources}'])).stdout, '{"limits":{"cpu":"500m"},"requests":{"cpu":"500m"}}')
  t.match(await kubectl(['run', 'b', '--image=x']), { code: 1, stderr: 'Error from server (Forbidden): pods "b" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1\n' })
  t.match((await kubectl(['describe', 'quota', 'q'])).stdout, /pods +1 +1\nrequests.cpu +500m +2\n/)
  t.match((await kubectl(['get', 'quota', 'q'])).stdout, /pods: 1\/1, requests.cpu: 500m\/2/)
  await kubectl(['delete', 'quota', 'q'])
  t.match(await kubectl(['run', 'b', '--image=x', '--overrides', JSON.stringify({ spec: { containers: [{ name: 'b', image: 'x', resources: { limits: { cpu: '2' } } }] } })]), { code: 1, stderr: 'Error from server (Forbidden): pods "b" is forbidden: maximum cpu usage per Container is 1, but limit is 2\n' })
  t.match(await kubectl(['label', 'namespace', 'default', 'pod-security.kubernetes.io/enforce=restricted']), { code: 0, stderr: /Warning: existing pods in namespace "default" violate the new PodSecurity enforce level "restricted:latest"\nWarning: a: allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, seccompProfile\n/ })
  t.match(await kubectl(['run', 'c', '--image=x']), { code: 1, stderr: /^Error from server \(Forbidden\): pods "c" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false \(container "c" must set securityContext.allowPrivilegeEscalation=false\)/ })
  t.match(await kubectl(['create', 'deployment', 'd', '--image=x']), { code: 0, stderr: /^Warning: would violate PodSecurity "restricted:latest"/ })
})
