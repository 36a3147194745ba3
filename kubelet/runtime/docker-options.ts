/** Sandboxes and containers as the Docker Engine API's `POST /containers/create` wants them. */
import { readFileSync } from 'node:fs'
import type { ContainerCreateOptions, HostConfig } from 'dockerode'
import { containerLabels, containerName, hostNamespaceLabels, hostNamespacesOf, sandboxLabels, sandboxName } from './docker-names.ts'
import type { ContainerConfig, Mount, Sandbox, SandboxConfig } from './runtime.ts'

export interface DockerDefaults {
  readonly sandboxImage: string
  readonly sandboxCommand: readonly string[]
  readonly cgroupParent?: string
  /** Size at which the engine rotates a container's log, as Docker writes it: `10m`. */
  readonly logMaxSize: string
  readonly logMaxFiles: number
  /** The least OOM score that this host lets us give: below its own, a process needs CAP_SYS_RESOURCE. */
  readonly oomScoreAdjMin: number
}

const CAP_SYS_RESOURCE = 24n

/** Reads off this process what `oomScoreAdjMin` is, on the ground that the engine has the same rights. */
export function leastOomScore(): number {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'
  const may = (BigInt(`0x${effective}`) >> CAP_SYS_RESOURCE) & 1n
  return may === 1n ? -1000 : Number(readFileSync('/proc/self/oom_score_adj', 'utf8'))
}

function logConfig(defaults: DockerDefaults): NonNullable<HostConfig['LogConfig']> {
  return { Type: 'json-file', Config: { 'max-size': defaults.logMaxSize, 'max-file': String(defaults.logMaxFiles) } }
}

function parentOf({ cgroupParent }: DockerDefaults): { CgroupParent?: string } {
  return cgroupParent === undefined ? {} : { CgroupParent: cgroupParent }
}

/** The sandbox: a process that sleeps, and whose namespaces the pod's containers join. */
export function sandboxOptions(config: SandboxConfig, defaults: DockerDefaults): ContainerCreateOptions & { name: string } {
  return {
    name: sandboxName(config.metadata),
    Image: defaults.sandboxImage,
    Entrypoint: [...defaults.sandboxCommand],
    Cmd: [],
    Labels: { ...config.labels, ...hostNamespaceLabels(config), ...sandboxLabels(config.metadata) },
    // Docker gives a container on the host's UTS namespace the host's name, and refuses to be told another.
    ...(config.hostNetwork ? {} : { Hostname: config.hostname }),
    HostConfig: {
      NetworkMode: config.hostNetwork ? 'host' : 'none',
      IpcMode: config.hostIpc ? 'host' : 'shareable',
      PidMode: config.hostPid ? 'host' : '',
      UTSMode: config.hostNetwork ? 'host' : '',
      Sysctls: { ...config.sysctls },
      SecurityOpt: ['seccomp=unconfined', 'no-new-privileges'],
      OomScoreAdj: Math.max(-998, defaults.oomScoreAdjMin),
      CpuShares: 2,
      LogConfig: { Type: 'none', Config: {} },
      ...parentOf(defaults),
    },
  }
}

function bind({ hostPath, containerPath, readOnly, propagation }: Mount): string {
  const options = [readOnly ? 'ro' : 'rw']
  if (propagation === 'hostToContainer') options.push('rslave')
  if (propagation === 'bidirectional') options.push('rshared')
  return `${hostPath}:${containerPath}:${options.join(',')}`
}

function securityOptions({ security }: ContainerConfig): string[] {
  const options: string[] = []
  if (security.seccomp === 'unconfined') options.push('seccomp=unconfined')
  else if (security.seccomp !== 'runtimeDefault') options.push(`seccomp=${security.seccomp.profile}`)
  if (security.noNewPrivileges) options.push('no-new-privileges')
  return options
}

function resourceOptions({ resources }: ContainerConfig, { oomScoreAdjMin }: DockerDefaults): HostConfig {
  const { cpuShares, cpuQuotaUs, memoryLimitBytes, oomScoreAdj } = resources
  return {
    CpuShares: cpuShares,
    OomScoreAdj: Math.max(oomScoreAdj, oomScoreAdjMin),
    ...(cpuQuotaUs === undefined ? {} : { CpuPeriod: 100_000, CpuQuota: cpuQuotaUs }),
    // The same number for memory and memory with swap: a pod does not swap.
    ...(memoryLimitBytes === undefined ? {} : { Memory: memoryLimitBytes, MemorySwap: memoryLimitBytes }),
  }
}

function pidMode(config: ContainerConfig, sandbox: Sandbox, hostPid: boolean): string {
  if (hostPid) return 'host'
  return config.sharedPids ? `container:${sandbox.id}` : ''
}

/** A container in the sandbox's network and IPC namespaces. */
export function containerOptions(sandbox: Sandbox, config: ContainerConfig, defaults: DockerDefaults): ContainerCreateOptions & { name: string } {
  const { security } = config
  const host = hostNamespacesOf(sandbox)
  return {
    name: containerName(sandbox.metadata, config),
    Image: config.image,
    ...(config.command === undefined ? {} : { Entrypoint: [...config.command] }),
    ...(config.args === undefined ? {} : { Cmd: [...config.args] }),
    ...(config.workingDir === undefined ? {} : { WorkingDir: config.workingDir }),
    ...(config.stopSignal === undefined ? {} : { StopSignal: config.stopSignal }),
    ...(security.user === undefined ? {} : { User: security.user }),
    Env: config.env.map(({ name, value }) => `${name}=${value}`),
    Labels: { ...config.labels, ...containerLabels(sandbox, config) },
    OpenStdin: config.stdin,
    StdinOnce: config.stdinOnce,
    Tty: config.tty,
    Healthcheck: { Test: ['NONE'] },
    HostConfig: {
      NetworkMode: `container:${sandbox.id}`,
      IpcMode: host.ipc ? 'host' : `container:${sandbox.id}`,
      PidMode: pidMode(config, sandbox, host.pid),
      UTSMode: host.network ? 'host' : '',
      Binds: config.mounts.map(bind),
      Devices: config.devices.map((path) => ({ PathOnHost: path, PathInContainer: path, CgroupPermissions: 'mrw' })),
      Privileged: security.privileged,
      ReadonlyRootfs: security.readOnlyRootFilesystem,
      CapAdd: [...security.capabilitiesAdd],
      CapDrop: [...security.capabilitiesDrop],
      GroupAdd: security.supplementalGroups.map(String),
      SecurityOpt: securityOptions(config),
      LogConfig: logConfig(defaults),
      ...resourceOptions(config, defaults),
      ...parentOf(defaults),
    },
  }
}
