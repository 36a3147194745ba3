import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ask, startTestServer } from '../test-support/server.ts'
import { violationsOf } from './pod-security-checks.ts'

const told = (level: 'baseline' | 'restricted', spec: object, minor = 35, annotations: object = {}): string[] => violationsOf(level, minor, { metadata: { annotations }, spec }).map(({ reason, detail }) => `${reason} (${detail})`)
const one = (more: object, pod: object = {}): object => ({ containers: [{ name: 'a', ...more }], ...pod })
const secure = { securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } } }
const good = { securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } }, containers: [{ name: 'a', ...secure }, { name: 'b', ...secure }] }

t.test('what the baseline forbids', (t) => {
  const cases: [spec: object, said: string, minor?: number, annotations?: object][] = [
    [one({ securityContext: { appArmorProfile: { type: 'Unconfined' } } }), 'forbidden AppArmor profile (container "a" must not set AppArmor profile type to "Unconfined")'],
    [one({}), 'forbidden AppArmor profile (annotation must not set AppArmor profile type to "container.apparmor.security.beta.kubernetes.io/a="unconfined"")', 35, { 'container.apparmor.security.beta.kubernetes.io/a': 'unconfined' }],
    [one({ securityContext: { capabilities: { add: ['NET_ADMIN', 'CHOWN', 'BPF'] } } }), 'non-default capabilities (container "a" must not include "BPF", "NET_ADMIN" in securityContext.capabilities.add)'],
    [one({}, { hostNetwork: true, hostIPC: true }), 'host namespaces (hostNetwork=true, hostIPC=true)'],
    [one({}, { volumes: [{ name: 'v', hostPath: { path: '/' } }, { name: 'w', hostPath: { path: '/' } }] }), 'hostPath volumes (volumes "v", "w")'],
    [one({ ports: [{ hostPort: 80 }, { hostPort: 443 }] }), 'hostPort (container "a" uses hostPorts 443, 80)'],
    [one({ livenessProbe: { httpGet: { host: '10.0.0.1' } }, lifecycle: { preStop: { tcpSocket: { host: 'x' } } } }), 'probe or lifecycle host (container "a" uses probe or lifecycle hosts "10.0.0.1", "x")'],
    [{ containers: [{ name: 'a', securityContext: { privileged: true } }], initContainers: [{ name: 'i', securityContext: { privileged: true } }] }, 'privileged (containers "i", "a" must not set securityContext.privileged=true)'],
    [one({ securityContext: { procMount: 'Unmasked' } }), 'procMount (container "a" must not set securityContext.procMount to "Unmasked")'],
    [one({ securityContext: { procMount: 'Unmasked' } }, { hostUsers: false }), 'procMount (container "a" must not set securityContext.procMount to "Unmasked")', 34],
    [one({ securityContext: { seLinuxOptions: { type: 'spc_t', user: 'u' } } }, { securityContext: { seLinuxOptions: { role: 'r' } } }), 'seLinuxOptions (pod and container "a" set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set; role may not be set)'],
    [one({ securityContext: { seLinuxOptions: { type: 'container_engine_t' } } }), 'seLinuxOptions (container "a" set forbidden securityContext.seLinuxOptions: type "container_engine_t")', 30],
    [one({}, { securityContext: { seccompProfile: { type: 'Unconfined' } } }), 'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")'],
    [one({}), 'seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod="unconfined")', 18, { 'seccomp.security.alpha.kubernetes.io/pod': 'unconfined' }],
    [one({}, { securityContext: { sysctls: [{ name: 'kernel.msgmax' }, { name: 'net.ipv4.tcp_rmem' }] } }), 'forbidden sysctls (kernel.msgmax)'],
    [one({}, { securityContext: { sysctls: [{ name: 'net.ipv4.tcp_rmem' }] } }), 'forbidden sysctls (net.ipv4.tcp_rmem)', 31],
    [one({}, { securityContext: { windowsOptions: { hostProcess: true } } }), 'hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)'],
  ]
  for (const [spec, said, minor, annotations] of cases) t.same(told('baseline', spec, minor, annotations), [said], said)
  t.same(told('baseline', one({})), [], 'an ordinary pod is fine')
  t.same(told('baseline', one({ securityContext: { procMount: 'Unmasked' } }, { hostUsers: false })), [], 'in a user namespace, /proc may be seen as it is')
  t.same(told('baseline', one({ livenessProbe: { httpGet: { host: '10.0.0.1' } } }), 33), [], 'probes of other hosts were allowed before 1.34')
  t.end()
})

t.test('what restricted forbids beyond that', (t) => {
  const cases: [spec: object, said: string[]][] = [
    [{ ...good, containers: [{ name: 'a', securityContext: { capabilities: { drop: ['ALL'] } } }] }, ['allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false)']],
    [{ ...good, containers: [{ name: 'a', securityContext: { allowPrivilegeEscalation: false, capabilities: { add: ['NET_BIND_SERVICE', 'CHOWN'] } } }] }, ['unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"]; container "a" must not include "CHOWN" in securityContext.capabilities.add)']],
    [{ ...good, volumes: [{ name: 'v', hostPath: { path: '/' } }, { name: 'w', nfs: {} }, { name: 'x', emptyDir: {} }] }, ['restricted volume types (volumes "v", "w" use restricted volume types "hostPath", "nfs")']],
    [{ ...good, securityContext: { seccompProfile: { type: 'RuntimeDefault' } } }, ['runAsNonRoot != true (pod or containers "a", "b" must set securityContext.runAsNonRoot=true)']],
    [{ ...good, securityContext: { ...good.securityContext, runAsNonRoot: false } }, ['runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)']],
    [{ ...good, securityContext: { ...good.securityContext, runAsUser: 0 } }, ['runAsUser=0 (pod must not set runAsUser=0)']],
    [{ ...good, securityContext: { runAsNonRoot: true } }, ['seccompProfile (pod or containers "a", "b" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")']],
    [{ ...good, hostNetwork: true }, ['host namespaces (hostNetwork=true)']],
  ]
  for (const [spec, said] of cases) t.same(told('restricted', spec), said, said.join())
  t.same(told('restricted', good), [])
  t.same(told('restricted', { ...good, securityContext: { seccompProfile: { type: 'Localhost' }, runAsUser: 0 }, hostUsers: false }), [], 'root of a user namespace is nobody outside')
  t.same(told('restricted', { os: { name: 'windows' }, securityContext: { runAsNonRoot: true }, containers: [{ name: 'a' }] }), [])
  t.same(told('restricted', { containers: [{ name: 'a' }] }).map((line) => line.replace(/ \(.*/, '')), ['allowPrivilegeEscalation != false', 'unrestricted capabilities', 'runAsNonRoot != true', 'seccompProfile'])
  t.end()
})

t.test('labels of a namespace enforce, warn and are checked', async (t) => {
  const { server } = await startTestServer(t)
  const label = (labels: object): Promise<unknown> => ask(server, 'PATCH', '/api/v1/namespaces/default', { metadata: { labels } }, { 'content-type': 'application/merge-patch+json' })
  const base = '/api/v1/namespaces/default'
  await ask(server, 'POST', `${base}/serviceaccounts`, { metadata: { name: 'default' } })
  const pod = (name: string, spec: object): object => ({ metadata: { name }, spec })
  const web = { containers: [{ name: 'a', image: 'x', securityContext: { privileged: true } }] }
  t.equal((await ask(server, 'POST', `${base}/pods`, pod('before', web))).status, 201, 'without labels everything goes')
  t.match(await label({ 'pod-security.kubernetes.io/enforce': 'baseline' }), { status: 200, headers: { warning: /existing pods in namespace \\"default\\" violate the new PodSecurity enforce level \\"baseline:latest\\"", 299 - "before: privileged"/ } })
  t.match(await ask(server, 'POST', `${base}/pods`, pod('p', web)), { status: 403, body: { message: 'pods "p" is forbidden: violates PodSecurity "baseline:latest": privileged (container "a" must not set securityContext.privileged=true)' } })
  const template = { metadata: { labels: { a: 'b' } }, spec: web }
  const deployment = { metadata: { name: 'd' }, spec: { selector: { matchLabels: { a: 'b' } }, template } }
  t.match(await ask(server, 'POST', '/apis/apps/v1/namespaces/default/deployments', deployment), { status: 201, headers: { warning: /would violate PodSecurity \\"baseline:latest\\": privileged/ } }, 'workloads are told what will happen to their pods')
  t.equal((await ask(server, 'PATCH', `${base}/pods/before`, { metadata: { labels: { x: 'y' } } }, { 'content-type': 'application/merge-patch+json' })).status, 200, 'what is there may be labelled')
  t.match(await ask(server, 'PATCH', `${base}/pods/before`, { spec: { containers: [{ name: 'a', image: 'y', securityContext: { privileged: true } }] } }, { 'content-type': 'application/strategic-merge-patch+json' }), { status: 403 }, 'but not get another image')
  await label({ 'pod-security.kubernetes.io/enforce': 'privileged', 'pod-security.kubernetes.io/warn': 'restricted', 'pod-security.kubernetes.io/warn-version': 'v1.20' })
  t.match(await ask(server, 'POST', `${base}/pods`, pod('q', { containers: [{ name: 'a', image: 'x' }] })), { status: 201, headers: { warning: /would violate PodSecurity \\"restricted:v1.20\\": allowPrivilegeEscalation != false/ } })
  t.match(await label({ 'pod-security.kubernetes.io/enforce': 'strict' }), { status: 422, body: { message: 'Namespace "default" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": must be one of privileged, baseline, restricted' } })
  t.match(await label({ 'pod-security.kubernetes.io/warn-version': '1.20' }), { status: 422, body: { message: /must be \\?"latest\\?" or \\?"v1.x\\?"/ } })
})

t.test('what is only audited stands in the audit log', async (t) => {
  const auditLogPath = join(t.testdir(), 'audit.log')
  const { server } = await startTestServer(t, { audit: { path: auditLogPath } })
  await ask(server, 'PATCH', '/api/v1/namespaces/default', { metadata: { labels: { 'pod-security.kubernetes.io/audit': 'baseline' } } }, { 'content-type': 'application/merge-patch+json' })
  const made = await ask(server, 'POST', '/api/v1/namespaces/default/pods', { metadata: { name: 'p' }, spec: { hostPID: true, containers: [{ name: 'a', image: 'x' }] } })
  t.match(made, { status: 201 })
  t.notOk(made.headers['warning'])
  await server.stop()
  const event = readFileSync(auditLogPath, 'utf8').split('\n').find((line) => line.includes('audit-violations')) ?? '{}'
  t.match((JSON.parse(event) as { annotations?: object }).annotations, { 'pod-security.kubernetes.io/audit-violations': 'would violate PodSecurity "baseline:latest": host namespaces (hostPID=true)', 'pod-security.kubernetes.io/enforce-policy': 'privileged:latest' })
})
