import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Container, Pod, PodSpec } from '../../api/types.ts'
import type { ContainerConfig } from '../runtime/runtime.ts'
import { containerConfigOf } from './container-config.ts'
import { ContainerConfigError } from './environment.ts'

const directory = mkdtempSync(join(tmpdir(), 'fairway-container-config-'))
t.teardown(() => rmSync(directory, { recursive: true }))

function configOf(container: Partial<Container>, spec: Partial<PodSpec> = {}, user = ''): ContainerConfig {
  const pod: Pod = { metadata: { name: 'web', namespace: 'default', uid: 'u' }, spec: { containers: [], ...spec } }
  return containerConfigOf({
    pod, container: { name: 'main', image: 'busybox:1', ...container }, attempt: 2, image: { id: '', repoTags: [], repoDigests: [], sizeBytes: 0, user },
    volumes: new Map([['data', directory]]), hostsFile: '/h', resolvConfFile: '/r', terminationLog: join(directory, 'main', '2'), memoryBytes: 2 ** 30, seccompDir: '/seccomp',
    sources: { pod, nodeName: 'node-1', podIPs: ['10.0.0.1'], hostIPs: [], allocatable: {}, services: [], configMap: () => undefined, secret: () => undefined },
  })
}

t.test('command and arguments use the environment; without them the image decides', (t) => {
  t.match(configOf({ env: [{ name: 'A', value: '1' }], command: ['sh'], args: ['-c', '$(A)'] }), { command: ['sh'], args: ['-c', '1'], attempt: 2 })
  const bare = configOf({})
  t.notOk('command' in bare || 'args' in bare || 'user' in bare.security)
  t.end()
})

t.test('the pod\'s files are mounted where the container has nothing else', (t) => {
  const paths = ({ mounts }: ContainerConfig): string[] => mounts.map(({ hostPath, containerPath }) => `${hostPath}:${containerPath}`)
  t.same(paths(configOf({})), ['/h:/etc/hosts', '/r:/etc/resolv.conf', `${directory}/main/2:/dev/termination-log`])
  const own = configOf({ volumeMounts: [{ name: 'data', mountPath: '/etc/hosts', readOnly: true }, { name: 'data', mountPath: '/b', subPathExpr: 'x$(A)', mountPropagation: 'HostToContainer' }], env: [{ name: 'A', value: '1' }], terminationMessagePath: '/why' })
  t.same(paths(own), [`${directory}:/etc/hosts`, `${directory}/x1:/b`, '/r:/etc/resolv.conf', `${directory}/main/2:/why`])
  t.match(own.mounts, [{ readOnly: true, propagation: 'private' }, { readOnly: false, propagation: 'hostToContainer' }])
  t.equal(statSync(join(directory, 'main', '2')).mode & 0o777, 0o666)
  t.throws(() => configOf({ volumeMounts: [{ name: 'absent', mountPath: '/a' }] }), ContainerConfigError)
  t.end()
})

t.test('the user is the container\'s, the pod\'s or the image\'s, and not root where that is forbidden', (t) => {
  const user = (container: Partial<Container>, spec: Partial<PodSpec> = {}, image = ''): string | undefined => configOf(container, spec, image).security.user
  t.equal(user({ securityContext: { runAsUser: 5 } }, { securityContext: { runAsUser: 6, runAsGroup: 7 } }), '5:7')
  t.equal(user({}, { securityContext: { runAsUser: 6 } }), '6')
  t.equal(user({ securityContext: { runAsGroup: 7 } }, {}, 'nobody:x'), 'nobody:7')
  t.throws(() => user({ securityContext: { runAsNonRoot: true } }), new ContainerConfigError('container has runAsNonRoot and image will run as root'))
  t.throws(() => user({ securityContext: { runAsNonRoot: true, runAsUser: 0 } }), new ContainerConfigError("container's runAsUser breaks non-root policy"))
  t.equal(user({ securityContext: { runAsNonRoot: true } }, {}, '1000'), undefined)
  t.end()
})

t.test('security and resources are as the pod says', (t) => {
  t.match(configOf({
    securityContext: { capabilities: { add: ['NET_ADMIN'], drop: ['ALL'] }, allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, seccompProfile: { type: 'Localhost', localhostProfile: 'a.json' } },
    resources: { requests: { cpu: '250m' }, limits: { cpu: '500m', memory: '64Mi' } },
  }, { securityContext: { fsGroup: 9, supplementalGroups: [8] }, shareProcessNamespace: true }), {
    sharedPids: true,
    security: { capabilitiesAdd: ['NET_ADMIN'], capabilitiesDrop: ['ALL'], noNewPrivileges: true, readOnlyRootFilesystem: true, privileged: false, supplementalGroups: [8, 9], seccomp: { profile: '/seccomp/a.json' } },
    resources: { cpuShares: 256, cpuQuotaUs: 50_000, memoryLimitBytes: 64 * 2 ** 20 },
  })
  t.equal(configOf({}).security.seccomp, 'unconfined')
  t.end()
})
