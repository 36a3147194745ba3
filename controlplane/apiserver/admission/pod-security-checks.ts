// The Pod Security Standards as a table: which check holds from which version on, and what it says
// (kubernetes.io/docs/concepts/security/pod-security-standards; the words are those of k8s.io/pod-security-admission/policy).
import { isRecord } from '../object.ts'

type Json = Readonly<Record<string, unknown>>

export interface Violation {
  readonly reason: string
  readonly detail: string
}

interface Subject {
  readonly annotations: Readonly<Record<string, string>>
  readonly spec: Json
  /** Init containers, containers, ephemeral containers. */
  readonly containers: readonly Json[]
}

type Test = (pod: Subject) => Violation | undefined

interface Check {
  readonly id: string
  readonly level: 'baseline' | 'restricted'
  /** By the minor version from which on they hold; the newest first. */
  readonly versions: readonly (readonly [since: number, test: Test])[]
  /** The check of baseline in whose place it stands. */
  readonly instead?: string
}

function at(object: unknown, ...path: readonly string[]): unknown {
  let value = object
  for (const step of path) value = isRecord(value) && Object.hasOwn(value, step) ? value[step] : undefined
  return value
}

function list(object: unknown, ...path: readonly string[]): readonly Json[] {
  const value = at(object, ...path)
  return Array.isArray(value) ? value.filter(isRecord) : []
}

function texts(object: unknown, ...path: readonly string[]): readonly string[] {
  const value = at(object, ...path)
  return Array.isArray(value) ? value.map(String) : []
}

function text(object: unknown, ...path: readonly string[]): string {
  const value = at(object, ...path)
  return typeof value === 'string' ? value : ''
}

function quoted(items: Iterable<string>): string {
  return [...items].map((item) => `"${item}"`).join(', ')
}

function sorted(items: Iterable<string>): string[] {
  return [...new Set(items)].toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0))
}

/** `container "a"`, `containers "a", "b"`. */
function named(containers: readonly Json[]): string {
  return `${plural('container', containers.length)} ${quoted(containers.map((one) => text(one, 'name')))}`
}

function plural(word: string, count: number): string {
  return count === 1 ? word : `${word}s`
}

/** Who sets something: the pod, containers, or both. */
function setters(podSets: boolean, containers: readonly Json[], ...more: readonly string[]): string {
  return [...(podSets ? ['pod'] : []), ...(containers.length > 0 ? [named(containers)] : []), ...more].join(' and ')
}

const context = 'securityContext'

/** In a user namespace, what counts as root is nobody outside. */
function isInUserNamespace({ spec }: Subject): boolean {
  return spec['hostUsers'] === false
}

function unlessWindows(test: Test): Test {
  return (pod) => (text(pod.spec, 'os', 'name') === 'windows' ? undefined : test(pod))
}

function unlessInUserNamespace(test: Test): Test {
  return (pod) => (isInUserNamespace(pod) ? undefined : test(pod))
}

const privilegeEscalation: Test = ({ containers }) => {
  const bad = containers.filter((one) => at(one, context, 'allowPrivilegeEscalation') !== false)
  return bad.length === 0 ? undefined : { reason: 'allowPrivilegeEscalation != false', detail: `${named(bad)} must set securityContext.allowPrivilegeEscalation=false` }
}

const appArmor: Test = ({ spec, containers, annotations }) => {
  const profile = (of: unknown): string | undefined => (at(of, context, 'appArmorProfile') === undefined ? undefined : text(of, context, 'appArmorProfile', 'type'))
  const isBad = (value: string | undefined): value is string => value !== undefined && value !== 'RuntimeDefault' && value !== 'Localhost'
  const bad = containers.filter((one) => isBad(profile(one)))
  const ofPod = profile(spec)
  const noted = Object.entries(annotations)
    .filter(([key, value]) => key.startsWith('container.apparmor.security.beta.kubernetes.io/') && value !== '' && value !== 'runtime/default' && !value.startsWith('localhost/'))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
  const values = [...sorted([ofPod, ...bad.map(profile)].filter(isBad)), ...sorted(noted)]
  if (values.length === 0) return undefined
  const who = setters(isBad(ofPod), bad, ...(noted.length > 0 ? [plural('annotation', noted.length)] : []))
  return { reason: plural('forbidden AppArmor profile', values.length), detail: `${who} must not set AppArmor profile type to ${quoted(values)}` }
}

const defaultCapabilities = new Set(['AUDIT_WRITE', 'CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'KILL', 'MKNOD', 'NET_BIND_SERVICE', 'SETFCAP', 'SETGID', 'SETPCAP', 'SETUID', 'SYS_CHROOT'])

const capabilitiesBaseline: Test = ({ containers }) => {
  const added = (one: Json): string[] => texts(one, context, 'capabilities', 'add').filter((name) => !defaultCapabilities.has(name))
  const bad = containers.filter((one) => added(one).length > 0)
  return bad.length === 0 ? undefined : { reason: 'non-default capabilities', detail: `${named(bad)} must not include ${quoted(sorted(bad.flatMap(added)))} in securityContext.capabilities.add` }
}

const capabilitiesRestricted: Test = ({ containers }) => {
  const keeping = containers.filter((one) => !texts(one, context, 'capabilities', 'drop').includes('ALL'))
  const added = (one: Json): string[] => texts(one, context, 'capabilities', 'add').filter((name) => name !== 'NET_BIND_SERVICE')
  const adding = containers.filter((one) => added(one).length > 0)
  const details = [
    ...(keeping.length > 0 ? [`${named(keeping)} must set securityContext.capabilities.drop=["ALL"]`] : []),
    ...(adding.length > 0 ? [`${named(adding)} must not include ${quoted(sorted(adding.flatMap(added)))} in securityContext.capabilities.add`] : []),
  ]
  return details.length === 0 ? undefined : { reason: 'unrestricted capabilities', detail: details.join('; ') }
}

const hostNamespaces: Test = ({ spec }) => {
  const shared = ['hostNetwork', 'hostPID', 'hostIPC'].filter((field) => spec[field] === true).map((field) => `${field}=true`)
  return shared.length === 0 ? undefined : { reason: 'host namespaces', detail: shared.join(', ') }
}

const hostPaths: Test = ({ spec }) => {
  const bad = list(spec, 'volumes').filter((volume) => volume['hostPath'] !== undefined)
  return bad.length === 0 ? undefined : { reason: 'hostPath volumes', detail: `${plural('volume', bad.length)} ${quoted(bad.map((volume) => text(volume, 'name')))}` }
}

const hostPorts: Test = ({ containers }) => {
  const open = (one: Json): string[] => list(one, 'ports').flatMap(({ hostPort }) => (typeof hostPort === 'number' && hostPort !== 0 ? [String(hostPort)] : []))
  const bad = containers.filter((one) => open(one).length > 0)
  const ports = sorted(bad.flatMap(open))
  return bad.length === 0 ? undefined : { reason: 'hostPort', detail: `${named(bad)} ${bad.length === 1 ? 'uses' : 'use'} ${plural('hostPort', ports.length)} ${ports.join(', ')}` }
}

const probes = [['livenessProbe'], ['readinessProbe'], ['startupProbe'], ['lifecycle', 'postStart'], ['lifecycle', 'preStop']] as const

const probeHosts: Test = ({ containers }) => {
  const hosts = (one: Json): string[] => probes.flatMap((path) => ['httpGet', 'tcpSocket'].map((kind) => text(one, ...path, kind, 'host'))).filter((host) => host !== '')
  const bad = containers.filter((one) => hosts(one).length > 0)
  const all = sorted(bad.flatMap(hosts))
  const names = sorted(bad.map((one) => text(one, 'name')))
  return bad.length === 0 ? undefined : { reason: 'probe or lifecycle host', detail: `${plural('container', names.length)} ${quoted(names)} ${names.length === 1 ? 'uses' : 'use'} ${plural('probe or lifecycle host', all.length)} ${quoted(all)}` }
}

const privileged: Test = ({ containers }) => {
  const bad = containers.filter((one) => at(one, context, 'privileged') === true)
  return bad.length === 0 ? undefined : { reason: 'privileged', detail: `${named(bad)} must not set securityContext.privileged=true` }
}

const procMount: Test = ({ containers }) => {
  const mount = (one: Json): string => text(one, context, 'procMount')
  const bad = containers.filter((one) => mount(one) !== '' && mount(one) !== 'Default')
  return bad.length === 0 ? undefined : { reason: 'procMount', detail: `${named(bad)} must not set securityContext.procMount to ${quoted(sorted(bad.map(mount)))}` }
}

const freeVolumes = ['configMap', 'csi', 'downwardAPI', 'emptyDir', 'ephemeral', 'image', 'persistentVolumeClaim', 'projected', 'secret']
const boundVolumes = [
  'hostPath', 'gcePersistentDisk', 'awsElasticBlockStore', 'gitRepo', 'nfs', 'iscsi', 'glusterfs', 'rbd', 'flexVolume', 'cinder', 'cephfs', 'flocker', 'fc', 'azureFile', 'vsphereVolume', 'quobyte', 'azureDisk', 'photonPersistentDisk',
  'portworxVolume', 'scaleIO', 'storageos',
]

const restrictedVolumes: Test = ({ spec }) => {
  const bad = list(spec, 'volumes').filter((volume) => !freeVolumes.some((kind) => volume[kind] !== undefined))
  const kinds = sorted(bad.map((volume) => boundVolumes.find((kind) => volume[kind] !== undefined) ?? 'unknown'))
  return bad.length === 0 ? undefined : { reason: 'restricted volume types', detail: `${plural('volume', bad.length)} ${quoted(bad.map((volume) => text(volume, 'name')))} ${bad.length === 1 ? 'uses' : 'use'} ${plural('restricted volume type', kinds.length)} ${quoted(kinds)}` }
}

const nonRoot: Test = ({ spec, containers }) => {
  const own = (of: unknown): unknown => at(of, context, 'runAsNonRoot')
  const bad = containers.filter((one) => own(one) === false)
  const reason = 'runAsNonRoot != true'
  if (bad.length > 0 || own(spec) === false) return { reason, detail: `${setters(own(spec) === false, bad)} must not set securityContext.runAsNonRoot=false` }
  const silent = own(spec) === true ? [] : containers.filter((one) => own(one) === undefined)
  return silent.length === 0 ? undefined : { reason, detail: `pod or ${named(silent)} must set securityContext.runAsNonRoot=true` }
}

const runAsUser: Test = ({ spec, containers }) => {
  const isRoot = (of: unknown): boolean => at(of, context, 'runAsUser') === 0
  const bad = containers.filter(isRoot)
  return bad.length === 0 && !isRoot(spec) ? undefined : { reason: 'runAsUser=0', detail: `${setters(isRoot(spec), bad)} must not set runAsUser=0` }
}

function seLinux(types: readonly string[]): Test {
  return ({ spec, containers }) => {
    const field = (of: unknown, name: string): string => text(of, context, 'seLinuxOptions', name)
    const isBad = (of: unknown): boolean => at(of, context, 'seLinuxOptions') !== undefined && (!types.includes(field(of, 'type')) || field(of, 'user') !== '' || field(of, 'role') !== '')
    const bad = containers.filter(isBad)
    const all: readonly unknown[] = [...(isBad(spec) ? [spec] : []), ...bad]
    if (all.length === 0) return undefined
    const badTypes = sorted(all.map((of) => field(of, 'type')).filter((type) => !types.includes(type)))
    const data = [
      ...(badTypes.length > 0 ? [`${plural('type', badTypes.length)} ${quoted(badTypes)}`] : []),
      ...(all.some((of) => field(of, 'user') !== '') ? ['user may not be set'] : []),
      ...(all.some((of) => field(of, 'role') !== '') ? ['role may not be set'] : []),
    ]
    return { reason: 'seLinuxOptions', detail: `${setters(isBad(spec), bad)} set forbidden securityContext.seLinuxOptions: ${data.join('; ')}` }
  }
}

const seccompAnnotations: Test = ({ annotations, containers }) => {
  const keys = ['seccomp.security.alpha.kubernetes.io/pod', ...containers.map((one) => `container.seccomp.security.alpha.kubernetes.io/${text(one, 'name')}`)]
  const isFine = (value: string): boolean => value === 'runtime/default' || value === 'docker/default' || value.startsWith('localhost/')
  const bad = sorted(keys.flatMap((key) => (Object.hasOwn(annotations, key) && !isFine(annotations[key] ?? '') ? [`${key}=${JSON.stringify(annotations[key])}`] : [])))
  return bad.length === 0 ? undefined : { reason: 'seccompProfile', detail: `forbidden ${plural('annotation', bad.length)} ${bad.join(', ')}` }
}

function seccomp(isRequired: boolean): Test {
  return ({ spec, containers }) => {
    const type = (of: unknown): string | undefined => (at(of, context, 'seccompProfile') === undefined ? undefined : text(of, context, 'seccompProfile', 'type'))
    const isBad = (of: unknown): boolean => type(of) !== undefined && type(of) !== 'Localhost' && type(of) !== 'RuntimeDefault'
    const bad = containers.filter(isBad)
    const reason = 'seccompProfile'
    if (bad.length > 0 || isBad(spec)) {
      const values = sorted([...(isBad(spec) ? [spec] : []), ...bad].map((of) => type(of) ?? ''))
      return { reason, detail: `${setters(isBad(spec), bad)} must not set securityContext.seccompProfile.type to ${quoted(values)}` }
    }
    const silent = !isRequired || type(spec) !== undefined ? [] : containers.filter((one) => type(one) === undefined)
    return silent.length === 0 ? undefined : { reason, detail: `pod or ${named(silent)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"` }
  }
}

const sysctls0 = ['kernel.shm_rmid_forced', 'net.ipv4.ip_local_port_range', 'net.ipv4.tcp_syncookies', 'net.ipv4.ping_group_range', 'net.ipv4.ip_unprivileged_port_start']
const sysctls27 = [...sysctls0, 'net.ipv4.ip_local_reserved_ports']
const sysctls29 = [...sysctls27, 'net.ipv4.tcp_keepalive_time', 'net.ipv4.tcp_fin_timeout', 'net.ipv4.tcp_keepalive_intvl', 'net.ipv4.tcp_keepalive_probes']
const sysctls32 = [...sysctls29, 'net.ipv4.tcp_rmem', 'net.ipv4.tcp_wmem']

function sysctls(allowed: readonly string[]): Test {
  return ({ spec }) => {
    const bad = list(spec, context, 'sysctls').map((one) => text(one, 'name')).filter((name) => !allowed.includes(name))
    return bad.length === 0 ? undefined : { reason: 'forbidden sysctls', detail: bad.join(', ') }
  }
}

const windowsHostProcess: Test = ({ spec, containers }) => {
  const isHost = (of: unknown): boolean => at(of, context, 'windowsOptions', 'hostProcess') === true
  const bad = containers.filter(isHost)
  return bad.length === 0 && !isHost(spec) ? undefined : { reason: 'hostProcess', detail: `${setters(isHost(spec), bad)} must not set securityContext.windowsOptions.hostProcess=true` }
}

const seLinuxTypes = ['', 'container_t', 'container_init_t', 'container_kvm_t']

/** In the order in which violations are told. */
const checks: readonly Check[] = [
  { id: 'appArmorProfile', level: 'baseline', versions: [[0, appArmor]] },
  { id: 'capabilities_baseline', level: 'baseline', versions: [[0, capabilitiesBaseline]] },
  { id: 'hostNamespaces', level: 'baseline', versions: [[0, hostNamespaces]] },
  { id: 'hostPathVolumes', level: 'baseline', versions: [[0, hostPaths]] },
  { id: 'hostPorts', level: 'baseline', versions: [[0, hostPorts]] },
  { id: 'hostProbesAndHostLifecycle', level: 'baseline', versions: [[34, probeHosts]] },
  { id: 'privileged', level: 'baseline', versions: [[0, privileged]] },
  { id: 'procMount', level: 'baseline', versions: [[35, unlessInUserNamespace(procMount)], [0, procMount]] },
  { id: 'seLinuxOptions', level: 'baseline', versions: [[31, seLinux([...seLinuxTypes, 'container_engine_t'])], [0, seLinux(seLinuxTypes)]] },
  { id: 'seccompProfile_baseline', level: 'baseline', versions: [[19, seccomp(false)], [0, seccompAnnotations]] },
  { id: 'sysctls', level: 'baseline', versions: [[32, sysctls(sysctls32)], [29, sysctls(sysctls29)], [27, sysctls(sysctls27)], [0, sysctls(sysctls0)]] },
  { id: 'windowsHostProcess', level: 'baseline', versions: [[0, windowsHostProcess]] },
  { id: 'allowPrivilegeEscalation', level: 'restricted', versions: [[25, unlessWindows(privilegeEscalation)], [8, privilegeEscalation]] },
  { id: 'capabilities_restricted', level: 'restricted', instead: 'capabilities_baseline', versions: [[25, unlessWindows(capabilitiesRestricted)], [22, capabilitiesRestricted]] },
  { id: 'procMount_restricted', level: 'restricted', instead: 'procMount', versions: [[35, procMount]] },
  { id: 'restrictedVolumes', level: 'restricted', instead: 'hostPathVolumes', versions: [[0, restrictedVolumes]] },
  { id: 'runAsNonRoot', level: 'restricted', versions: [[35, unlessInUserNamespace(nonRoot)], [0, nonRoot]] },
  { id: 'runAsUser', level: 'restricted', versions: [[35, unlessInUserNamespace(runAsUser)], [23, runAsUser]] },
  { id: 'seccompProfile_restricted', level: 'restricted', instead: 'seccompProfile_baseline', versions: [[25, unlessWindows(seccomp(true))], [19, seccomp(true)]] },
]

/** The tests of a level at a minor version. */
function testsOf(level: 'baseline' | 'restricted', minor: number): readonly Test[] {
  const holding = checks.filter((check) => level === 'restricted' || check.level === 'baseline').flatMap(({ id, instead, versions }) => {
    const found = versions.find(([since]) => since <= minor)
    return found === undefined ? [] : [{ id, instead, test: found[1] }]
  })
  const replaced = new Set(holding.map(({ instead }) => instead))
  return holding.filter(({ id }) => !replaced.has(id)).map(({ test }) => test)
}

/** What is wrong with a pod, or with a template of pods. */
export function violationsOf(level: 'privileged' | 'baseline' | 'restricted', minor: number, pod: { readonly metadata?: unknown; readonly spec?: unknown }): readonly Violation[] {
  if (level === 'privileged') return []
  const spec = isRecord(pod.spec) ? pod.spec : {}
  const annotations = at(pod.metadata, 'annotations')
  const subject = { spec, annotations: isRecord(annotations) ? (annotations as Record<string, string>) : {}, containers: [...list(spec, 'initContainers'), ...list(spec, 'containers'), ...list(spec, 'ephemeralContainers')] }
  return testsOf(level, minor).flatMap((test) => test(subject) ?? [])
}
