/** Takes a local cluster up: makes it, finds it running, or starts again what of it was stopped. */
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { load } from 'js-yaml'
import type { Backend } from '../../cni/index.ts'
import { builtInImage } from '../images/built-in.ts'
import { inUrl } from './addressing.ts'
import type { IpFamily } from './addressing.ts'
import { balancerAddresses, clusterNames, apiServerPort, hostsOf, isControlPlane, readConfig, serverUrl, writeConfig } from './config.ts'
import type { ClusterConfigFile, LocalStore } from './config.ts'
import { removeCluster } from './down.ts'
import { engineReady, loadBuiltIn, waitForProgram } from './engine.ts'
import { requireEtcd, shareKeys } from './etcd.ts'
import { findSwitch, startHost, startSwitch, startSwitchBalancer, stopAllHosts, stopHost } from './host.ts'
import { takeLock } from './lock.ts'
import { connectHost, connectMachine, freeSubnet } from './network.ts'
import { nodesReady } from './nodes-ready.ts'
import { openOutbound } from './outbound.ts'
import { clusterPaths } from './paths.ts'
import { hostInits, hostProcesses } from './processes.ts'
import { programsOf, sharedFiles } from './programs.ts'
import type { Detail, Progress } from './progress.ts'
import { hostNameservers } from './nameservers.ts'
import { addUserContext, contextName, userKubeconfigFile } from './user-kubeconfig.ts'

export interface UpOptions {
  readonly name: string
  readonly nodes: number
  readonly controlPlanes: number
  readonly store: LocalStore
  readonly overlay: Backend
  readonly ipFamily: IpFamily
  readonly outbound: boolean
  readonly ingress: boolean
  readonly progress: Progress
  /** Interrupts: what was begun is taken back. */
  readonly signal: AbortSignal
  readonly say: (line: string) => void
}

/** What `up` found: nothing, all of it running, or all or some of it stopped. */
export type UpResult = { readonly config: ClusterConfigFile; readonly was: 'absent' | 'running' | 'stopped' }

/** Takes a cluster up. Rejects with a sentence; what it had begun is taken back then. */
export async function up(options: UpOptions): Promise<UpResult> {
  const { name, say, signal } = options
  await using _lock = await takeLock(`cluster/${name}`, () => say(`Waiting for another fairway command on cluster ${name} to end`))
  const present = readConfig(name)
  if (present?.complete === true) return { config: present, was: await startStopped(present, options) }
  // A leftover of an interrupted `up` is nobody's: it begins anew.
  if (present !== undefined || hostProcesses(name).length > 0 || existsSync(clusterPaths(name).root)) await removeCluster(name)
  signal.throwIfAborted()
  const config = await newConfig(options)
  await takingBack((ended) => startCluster(config, hostsOf(config), { ...options, signal: ended }), signal, {
    stop: () => stopAllHosts(name),
    remove: () => removeCluster(name),
  })
  return { config, was: 'absent' }
}

/** Chooses a network; one cluster after the other, so that no two choose the same. */
async function newConfig({ name, nodes, controlPlanes, store, overlay, ipFamily, outbound, ingress }: UpOptions): Promise<ClusterConfigFile> {
  await using _lock = await takeLock('networks')
  const taken = new Set(clusterNames().filter((other) => other !== name).flatMap((other) => subnetOf(other) ?? []))
  const config: ClusterConfigFile = {
    version: 1, name, controlPlanes, store, overlay, ipFamily, outbound, ingress, nodes: Array.from({ length: nodes }, (_, index) => `node-${index + 1}`),
    subnet: freeSubnet(taken), complete: false, userKubeconfig: userKubeconfigFile(),
  }
  writeConfig(config)
  return config
}

function subnetOf(cluster: string): number | undefined {
  try {
    return readConfig(cluster)?.subnet
  } catch {
    return undefined // unreadable: its links, if it has any, are looked at as well
  }
}

/** Starts those hosts of a complete cluster that do not run. */
async function startStopped(config: ClusterConfigFile, options: UpOptions): Promise<UpResult['was']> {
  const running = hostInits(config.name)
  const stopped = hostsOf(config).filter((host) => !running.has(host))
  if (stopped.length === 0 && findSwitch(config.name) !== undefined) return 'running'
  // Without the switch the hosts that run are cut off for good.
  const hosts = findSwitch(config.name) === undefined ? hostsOf(config) : stopped
  for (const host of hosts) await stopHost(config.name, host)
  const stop = async (): Promise<void> => {
    for (const host of hosts) await stopHost(config.name, host)
  }
  await takingBack((ended) => startCluster(config, hosts, { ...options, signal: ended }), options.signal, { stop, remove: stop })
  return 'stopped'
}

interface TakingBack {
  readonly stop: () => Promise<void>
  readonly remove: () => Promise<void>
}

/** Starts. When that fails or is interrupted: ends all that still waits for something, stops what runs, and removes. */
async function takingBack(start: (ended: AbortSignal) => Promise<void>, signal: AbortSignal, { stop, remove }: TakingBack): Promise<void> {
  const failed = new AbortController()
  try {
    await start(AbortSignal.any([signal, failed.signal]))
  } catch (error) {
    failed.abort(error)
    await stop()
    await remove()
    throw signal.aborted ? signal.reason : error
  }
}

/** Starts hosts, all at once, and waits until they serve. The caller holds the cluster's lock. */
export async function startCluster(config: ClusterConfigFile, hosts: readonly string[], { progress, signal }: Pick<UpOptions, 'progress' | 'signal'>): Promise<void> {
  const { name } = config
  const startedAt = Date.now()
  if (config.store === 'etcd') {
    requireEtcd()
    await shareKeys(config)
  }
  const pids = await progress.step('hosts and the network between them', () => startHosts(config, hosts, signal))
  const [controlPlanes, nodes] = [hosts.filter(isControlPlane), hosts.filter((host) => !isControlPlane(host))]
  const controlPlane = progress.step('control plane', async () => {
    await Promise.all(controlPlanes.map((host) => controlPlaneReady(config, host, signal)))
    if (controlPlanes[0] !== undefined) takeCredentials(config, controlPlanes[0])
    shareToken(config, nodes)
  })
  const engines = nodes.length === 0 ? undefined : progress.step('container engines with the built-in image', (detail) => enginesReady(config, pids, { detail, signal }))
  const ready = nodes.length === 0 ? undefined : controlPlane.then(() => progress.step('nodes ready', (detail) => nodesReady(config, { hosts: nodes, startedAt, detail, signal })))
  await Promise.all([controlPlane, engines, ready])
  await addUserContext(readFileSync(clusterPaths(name).kubeconfig, 'utf8'), config.userKubeconfig)
  writeConfig({ ...config, complete: true })
}

async function enginesReady(config: ClusterConfigFile, pids: ReadonlyMap<string, number>, { detail, signal }: { readonly detail: Detail; readonly signal: AbortSignal }): Promise<void> {
  const image = builtInImage()
  const nodes = [...pids].filter(([host]) => !isControlPlane(host))
  let ready = 0
  await Promise.all(nodes.map(async ([host, pid]) => {
    await loadBuiltIn(await engineReady(config, { host, pid, signal }), image)
    ready += 1
    detail(ready < nodes.length ? `${ready} of ${nodes.length}` : '')
  }))
}

async function startHosts(config: ClusterConfigFile, hosts: readonly string[], signal: AbortSignal): Promise<Map<string, number>> {
  let switchPid = findSwitch(config.name)
  if (switchPid === undefined) {
    switchPid = await startSwitch(config.name)
    connectMachine(config, switchPid)
    if (config.outbound === true) await openOutbound(config)
    if ((config.controlPlanes ?? 1) > 1) startSwitchBalancer(config, switchPid, balancerAddresses(config).map((address) => `${inUrl(address)}:${apiServerPort}`))
  }
  const nameservers = hostNameservers()
  const pids = new Map<string, number>()
  signal.throwIfAborted()
  await Promise.all(hosts.map(async (host) => {
    const { kubeconfig, token } = sharedFiles(config.name, host)
    if (isControlPlane(host)) for (const file of [kubeconfig, token]) rmSync(file, { force: true })
    const { pid, go } = await startHost(config, host, { programs: programsOf(config, host), nameservers })
    connectHost(config, switchPid, { host, pid })
    go()
    pids.set(host, pid)
  }))
  return pids
}

/** Resolves when the API server of a host has written the credentials: it serves then. */
async function controlPlaneReady(config: ClusterConfigFile, host: string, signal: AbortSignal): Promise<void> {
  const { kubeconfig, token } = sharedFiles(config.name, host)
  await waitForProgram(config.name, { host, program: 'server', what: 'the control plane', signal }, () => existsSync(kubeconfig) && existsSync(token))
}

/** Copies the credentials to where `kubeconfig` looks for them. */
function takeCredentials(config: ClusterConfigFile, host: string): void {
  const { kubeconfig, token } = sharedFiles(config.name, host)
  const paths = clusterPaths(config.name)
  writePrivate(paths.kubeconfig, renamed(readFileSync(kubeconfig, 'utf8'), config))
  copyFileSync(token, paths.token)
  chmodSync(paths.token, 0o600)
}

/** The kubeconfig as this machine's users see it: its entries are called `fairway-NAME`. */
function renamed(kubeconfig: string, config: ClusterConfigFile): string {
  const { clusters: [cluster], users: [user] } = load(kubeconfig) as { clusters: [{ cluster: Record<string, unknown> }]; users: [{ user: unknown }] }
  const name = contextName(config.name)
  return JSON.stringify({
    apiVersion: 'v1', kind: 'Config', preferences: {}, 'current-context': name,
    clusters: [{ name, cluster: { ...cluster.cluster, server: serverUrl(config) } }],
    users: [{ name, user: user.user }],
    contexts: [{ name, context: { cluster: name, user: name } }],
  }, null, 2)
}

/** Hosts join with the token: as a file, since it is known only now and no secret belongs on a command line. */
function shareToken(config: ClusterConfigFile, hosts: readonly string[]): void {
  const token = readFileSync(clusterPaths(config.name).token, 'utf8')
  for (const host of hosts) writePrivate(sharedFiles(config.name, host).token, token)
}

function writePrivate(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(`${file}.new`, text, { mode: 0o600 })
  renameSync(`${file}.new`, file)
}
