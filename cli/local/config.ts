/** What a local cluster was made as: written once at `up`, read by everything after it. */
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import type { Backend } from '../../cni/index.ts'
import { inUrl, rangesOf } from './addressing.ts'
import type { IpFamily } from './addressing.ts'
import { clusterPaths, clustersRoot } from './paths.ts'

export interface ClusterConfigFile {
  /** Raised when a newer Fairway writes what an older one cannot read. */
  readonly version: 1
  readonly name: string
  readonly nodes: readonly string[]
  /** Hosts with a control plane. Left out in files of older versions: one. */
  readonly controlPlanes?: number
  /** Left out in files of older versions: sqlite. With etcd, each control plane has a member of it. */
  readonly store?: LocalStore
  /** The N of the machine-side network: 10.90.N.0/24, fd00:10:90:N::/64. */
  readonly subnet: number
  readonly overlay: Backend
  /** Left out in files of older versions: IPv4. */
  readonly ipFamily?: IpFamily
  /** Whether hosts and pods reach beyond this machine. */
  readonly outbound?: boolean
  /** Whether hosts serve ingresses. */
  readonly ingress?: boolean
  /** Raised from false once `up` came to its end: one that was interrupted begins anew. */
  readonly complete: boolean
  /** The user's file that has the cluster's context. */
  readonly userKubeconfig: string
}

export type LocalStore = 'sqlite' | 'etcd'

/** The first of them, or the only one. */
export const controlPlaneHost = 'control-plane'
export const apiServerPort = 6443

/** Names become file, link and context names: what Kubernetes calls a DNS label, short enough for all. */
export function checkClusterName(name: string): void {
  if (!/^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/.test(name)) {
    throw new Error(`Cannot use cluster name ${JSON.stringify(name)}: it must be 1 to 32 lower-case letters, digits and hyphens, beginning and ending with a letter or digit`)
  }
}

export function controlPlaneHosts({ controlPlanes = 1 }: Pick<ClusterConfigFile, 'controlPlanes'>): string[] {
  return Array.from({ length: controlPlanes }, (_, i) => (i === 0 ? controlPlaneHost : `${controlPlaneHost}-${i + 1}`))
}

export function isControlPlane(host: string): boolean {
  return host === controlPlaneHost || host.startsWith(`${controlPlaneHost}-`)
}

/** Every host, those of control planes first. */
export function hostsOf(config: ClusterConfigFile): string[] {
  return [...controlPlaneHosts(config), ...config.nodes]
}

/** Of the balancer before several control planes. */
const balancerPlace = 2

/** The number of a host within the cluster's network: 10 the first control plane, 11 and so on the nodes, 202 and so on further control planes. */
export function hostPlace(config: ClusterConfigFile, host: string): number {
  const node = config.nodes.indexOf(host)
  if (node >= 0) return 11 + node
  const controlPlane = controlPlaneHosts(config).indexOf(host)
  if (controlPlane < 0) throw new Error(`Cannot find host ${host}: the cluster has ${hostsOf(config).join(', ')}`)
  return controlPlane === 0 ? 10 : 201 + controlPlane
}

/** The first address of a host: the machine has .1, the control plane .10, node-1 .11 and so on. */
export function hostAddress(config: ClusterConfigFile, host: string): string {
  return hostAddresses(config, host)[0] ?? ''
}

/** One of each family that the cluster has. */
export function hostAddresses(config: ClusterConfigFile, host: string): string[] {
  return rangesOf(config.ipFamily).map((ranges) => ranges.hostAddress(config.subnet, hostPlace(config, host)))
}

export function balancerAddresses({ subnet, ipFamily }: ClusterConfigFile): string[] {
  return rangesOf(ipFamily).map((ranges) => ranges.hostAddress(subnet, balancerPlace))
}

/** Each control plane's own. */
export function serverUrls(config: ClusterConfigFile): string[] {
  return controlPlaneHosts(config).map((host) => `https://${inUrl(hostAddress(config, host))}:${apiServerPort}`)
}

/** The one that stays: the only control plane's, or that of the balancer. */
export function serverUrl(config: ClusterConfigFile): string {
  const address = config.controlPlanes === undefined || config.controlPlanes === 1 ? hostAddress(config, controlPlaneHost) : balancerAddresses(config)[0]
  return `https://${inUrl(address ?? '')}:${apiServerPort}`
}

/** Reads a cluster's configuration; undefined when there is no such cluster. Throws on a file that is corrupt or newer. */
export function readConfig(name: string): ClusterConfigFile | undefined {
  checkClusterName(name)
  const file = clusterPaths(name).config
  if (!existsSync(file)) return undefined
  let config: Partial<ClusterConfigFile>
  try {
    config = JSON.parse(readFileSync(file, 'utf8')) as Partial<ClusterConfigFile>
  } catch (error) {
    throw new Error(`Cannot read ${file}: ${(error as Error).message}; 'fairway down --name ${name}' removes the cluster`, { cause: error })
  }
  if (config.version !== 1) throw new Error(`Cannot use ${file}: it is of version ${String(config.version)}, and this Fairway knows version 1; use the Fairway that made the cluster, or 'fairway down --name ${name}'`)
  if (!Array.isArray(config.nodes) || !Number.isInteger(config.subnet) || typeof config.userKubeconfig !== 'string') throw new Error(`Cannot use ${file}: nodes, subnet or userKubeconfig are missing; 'fairway down --name ${name}' removes the cluster`)
  return config as ClusterConfigFile
}

/** The configuration of a cluster that must be there. */
export function requireConfig(name: string): ClusterConfigFile {
  const config = readConfig(name)
  if (config === undefined) throw new Error(`Cannot find cluster ${name}: 'fairway up --name ${name}' makes it${known(name)}`)
  return config
}

function known(name: string): string {
  const others = clusterNames().filter((other) => other !== name)
  return others.length === 0 ? '' : `; there are ${others.join(', ')}`
}

export function writeConfig(config: ClusterConfigFile): void {
  const { root, config: file } = clusterPaths(config.name)
  mkdirSync(root, { recursive: true, mode: 0o711 })
  writeFileSync(`${file}.new`, `${JSON.stringify(config, null, 2)}\n`)
  renameSync(`${file}.new`, file)
}

/** The names of all clusters that have left anything on this machine. */
export function clusterNames(): string[] {
  try {
    return readdirSync(clustersRoot).sort()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
