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
  /** The N of the machine-side network: 10.90.N.0/24, fd00:10:90:N::/64. */
  readonly subnet: number
  readonly overlay: Backend
  /** Left out in files of older versions: IPv4. */
  readonly ipFamily?: IpFamily
  /** Whether hosts and pods reach beyond this machine. */
  readonly outbound?: boolean
  /** Raised from false once `up` came to its end: one that was interrupted begins anew. */
  readonly complete: boolean
  /** The user's file that has the cluster's context. */
  readonly userKubeconfig: string
}

export const controlPlaneHost = 'control-plane'
export const apiServerPort = 6443

/** Names become file, link and context names: what Kubernetes calls a DNS label, short enough for all. */
export function checkClusterName(name: string): void {
  if (!/^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/.test(name)) {
    throw new Error(`Cannot use cluster name ${JSON.stringify(name)}: it must be 1 to 32 lower-case letters, digits and hyphens, beginning and ending with a letter or digit`)
  }
}

/** The first address of a host: the machine has .1, the control plane .10, node-1 .11 and so on. */
export function hostAddress(config: ClusterConfigFile, host: string): string {
  return hostAddresses(config, host)[0] ?? ''
}

/** One of each family that the cluster has. */
export function hostAddresses({ subnet, nodes, ipFamily }: ClusterConfigFile, host: string): string[] {
  const place = host === controlPlaneHost ? 0 : nodes.indexOf(host) + 1
  if (host !== controlPlaneHost && place === 0) throw new Error(`Cannot find host ${host}: the cluster has ${[controlPlaneHost, ...nodes].join(', ')}`)
  return rangesOf(ipFamily).map((ranges) => ranges.hostAddress(subnet, 10 + place))
}

export function serverUrl(config: ClusterConfigFile): string {
  return `https://${inUrl(hostAddress(config, controlPlaneHost))}:${apiServerPort}`
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
