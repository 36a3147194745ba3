/** What of a local cluster runs: hosts and their programs from this machine's processes, nodes from the API. */
import { readFileSync } from 'node:fs'
import { nodes, pods } from '../../api/resources.ts'
import type { Node } from '../../api/types.ts'
import { controlPlaneHosts, hostAddress, hostsOf, isControlPlane, serverUrl } from './config.ts'
import type { ClusterConfigFile } from './config.ts'
import { findSwitch } from './host.ts'
import { adminClient, isReady } from './nodes-ready.ts'
import { isPlugged } from './network.ts'
import { hostInits, hostProcesses } from './processes.ts'

export interface ProgramStatus {
  readonly name: string
  /** As the host counts; undefined while it does not run. */
  readonly pid: number | undefined
  /** Resident memory with all its children. */
  readonly memoryMiB: number
}

export interface HostStatus {
  readonly host: string
  readonly address: string
  readonly state: 'running' | 'stopped' | 'unplugged'
  readonly programs: readonly ProgramStatus[]
  readonly node?: { readonly ready: boolean; readonly podCIDR: string; readonly pods: number } | undefined
}

export interface ClusterStatus {
  readonly name: string
  readonly server: string
  /** Why the API does not answer; undefined when it does. */
  readonly apiError?: string | undefined
  readonly hosts: readonly HostStatus[]
}

const programNames = { sqlite: ['server'], etcd: ['etcd', 'server'], node: ['engine', 'agent', 'dns'] } as const
const apiTimeoutMs = 3000

export async function clusterStatus(config: ClusterConfigFile): Promise<ClusterStatus> {
  const { name } = config
  const inits = hostInits(name)
  const switchPid = findSwitch(name)
  const seen = controlPlaneHosts(config).some((host) => inits.has(host)) ? await askApi(name) : { error: `${controlPlaneHosts(config).length === 1 ? 'the host' : 'each of the hosts'} ${controlPlaneHosts(config).join(', ')} is stopped`, nodes: [], podCounts: new Map<string, number>() }
  const hosts = hostsOf(config).map((host): HostStatus => {
    const init = inits.get(host)
    const node = seen.nodes.find(({ metadata }) => metadata.name === host)
    return {
      host,
      address: hostAddress(config, host),
      state: init === undefined ? 'stopped' : switchPid !== undefined && isPlugged(switchPid, host) ? 'running' : 'unplugged',
      programs: init === undefined ? [] : programsIn(init, isControlPlane(host) ? programNames[config.store ?? 'sqlite'] : programNames.node, name, host),
      ...(node === undefined ? {} : { node: { ready: isReady(node), podCIDR: node.spec?.podCIDR ?? '', pods: seen.podCounts.get(host) ?? 0 } }),
    }
  })
  return { name, server: serverUrl(config), apiError: seen.error, hosts }
}

async function askApi(cluster: string): Promise<{ readonly error?: string; readonly nodes: readonly Node[]; readonly podCounts: Map<string, number> }> {
  const podCounts = new Map<string, number>()
  let api
  try {
    api = adminClient(cluster)
    const signal = AbortSignal.timeout(apiTimeoutMs)
    const [nodeList, podList] = await Promise.all([api.client.list(nodes, { signal }), api.client.list(pods, { signal })])
    for (const { spec } of podList.items) if (spec.nodeName !== undefined) podCounts.set(spec.nodeName, (podCounts.get(spec.nodeName) ?? 0) + 1)
    return { nodes: nodeList.items, podCounts }
  } catch (error) {
    return { error: (error as Error).message, nodes: [], podCounts }
  } finally {
    api?.close()
  }
}

/** The programs of a host by the files in which its init writes their process ids. */
function programsIn(init: number, names: readonly string[], cluster: string, host: string): ProgramStatus[] {
  const inside = hostProcesses(cluster).filter((one) => one.host === host).map(({ pid }) => describe(pid)).filter((one) => one !== undefined)
  return names.map((name) => {
    const pid = Number(read(`/proc/${init}/root/run/fairway/${name}.pid`))
    const found = inside.find((one) => one.innerPid === pid)
    return { name, pid: found === undefined ? undefined : pid, memoryMiB: found === undefined ? 0 : Math.round(found.residentKiB / 1024) }
  })
}

function describe(pid: number): { readonly innerPid: number; readonly residentKiB: number } | undefined {
  const status = read(`/proc/${pid}/status`)
  const innerPid = /^NSpid:\s+\d+\s+(\d+)$/m.exec(status)?.[1]
  return innerPid === undefined ? undefined : { innerPid: Number(innerPid), residentKiB: Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (['ENOENT', 'ESRCH', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) return '' // it ended while we looked
    throw error
  }
}
