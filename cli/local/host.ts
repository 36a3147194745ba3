/** One local host: a set of namespaces under one init. Starting, ending, and running programs in it. */
import { spawn } from 'node:child_process'
import type { SpawnOptions } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { isControlPlane, serverUrls } from './config.ts'
import type { ClusterConfigFile } from './config.ts'
import { clusterPaths } from './paths.ts'
import { hostInits, hostProcesses, isAlive, signal } from './processes.ts'

const here = new URL('.', import.meta.url).pathname
const mainFile = new URL('../main.ts', import.meta.url).pathname

/** The switch that joins the hosts is a network namespace too, held by a process that does nothing. */
export const switchHost = 'switch'

/** Command-line arguments of a host's programs. */
export interface HostPrograms {
  readonly etcd?: readonly string[]
  readonly server?: readonly string[]
  readonly agent?: readonly string[]
  readonly dns?: readonly string[]
}

/** A host whose namespaces are there and whose programs wait for its network. */
export interface NewHost {
  /** The first process in its process-id namespace, as this machine counts. */
  readonly pid: number
  /** Lets its programs start. */
  readonly go: () => void
}

function environment(cluster: string, host: string, more: Readonly<Record<string, string>> = {}): Record<string, string> {
  const path = [...(process.env['PATH'] ?? '').split(':'), '/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'].filter((folder) => folder.startsWith('/'))
  const cache = process.env['NODE_COMPILE_CACHE']
  return { ...(cache === undefined ? {} : { NODE_COMPILE_CACHE: cache }), PATH: [...new Set(path)].join(':'), HOME: '/root', LANG: 'C.UTF-8', FAIRWAY_CLUSTER: cluster, FAIRWAY_HOST: host, ...more }
}

/** Starts the holder of the switch's namespace; resolves to its process id. */
export async function startSwitch(cluster: string): Promise<number> {
  const child = spawn('unshare', ['--net', '--', 'sh', '-c', 'echo ready; exec tail -f /dev/null'], {
    detached: true, stdio: ['ignore', 'pipe', 'ignore'], env: environment(cluster, switchHost),
  })
  const { pid } = child
  await new Promise<void>((resolve, reject) => {
    child.once('error', (error) => reject(new Error(`Cannot start the switch of cluster ${cluster}: ${error.message}`)))
    child.once('exit', (code) => reject(new Error(`Cannot start the switch of cluster ${cluster}: unshare ended with status ${code}; are network namespaces allowed here?`)))
    child.stdout.once('data', () => resolve())
  })
  child.removeAllListeners('exit')
  child.stdout.destroy()
  child.unref()
  return pid ?? 0
}

/** Runs the balancer before several control planes in the switch, and again when it ends. */
export function startSwitchBalancer(config: ClusterConfigFile, switchPid: number, listen: readonly string[]): void {
  const { logs } = clusterPaths(config.name).host(switchHost)
  mkdirSync(logs, { recursive: true })
  const log = openSync(`${logs}/balancer.log`, 'a')
  const words = [process.execPath, mainFile, 'balancer', '--server', serverUrls(config).join(','), ...listen.flatMap((place) => ['--listen', place])]
  const child = spawn('nsenter', [`--net=/proc/${switchPid}/ns/net`, '--', 'sh', '-c', 'while :; do "$@"; sleep 0.2; done', 'sh', ...words], {
    detached: true, stdio: ['ignore', log, log], cwd: '/', env: environment(config.name, switchHost),
  })
  closeSync(log)
  child.unref()
}

/** The process that holds the switch, when it lives. */
export function findSwitch(cluster: string): number | undefined {
  return hostProcesses(cluster).find(({ host }) => host === switchHost)?.pid
}

/** Makes the namespaces of a host. Nothing runs in it before `go`, and it vanishes when we die before. */
export async function startHost(config: ClusterConfigFile, host: string, { programs, nameservers }: { readonly programs: HostPrograms; readonly nameservers: readonly string[] }): Promise<NewHost> {
  const paths = clusterPaths(config.name).host(host)
  for (const folder of [paths.varLib, paths.logs]) mkdirSync(folder, { recursive: true })
  writeFileSync(`${paths.root}/resolv.conf`, nameservers.map((address) => `nameserver ${address}\n`).join(''))
  const log = openSync(paths.initLog, 'a')
  const child = spawn('unshare', ['--net', '--mount', '--pid', '--uts', '--fork', '--kill-child', '--', 'sh', `${here}host-init.sh`], {
    detached: true, stdio: ['pipe', log, log], cwd: '/',
    env: environment(config.name, host, {
      FAIRWAY_STATE: paths.root,
      FAIRWAY_ROLE: isControlPlane(host) ? 'control-plane' : 'node',
      FAIRWAY_NODE: process.execPath,
      FAIRWAY_MAIN: mainFile,
      FAIRWAY_ETCD_ARGS: (programs.etcd ?? []).join(' '),
      FAIRWAY_SERVER_ARGS: (programs.server ?? []).join(' '),
      FAIRWAY_AGENT_ARGS: (programs.agent ?? []).join(' '),
      FAIRWAY_DNS_ARGS: (programs.dns ?? []).join(' '),
    }),
  })
  closeSync(log)
  const { stdin } = child
  let failure: Error | undefined
  child.once('error', (error) => (failure = error))
  child.once('exit', (code) => (failure ??= new Error(`unshare ended with status ${code}`)))
  stdin?.on('error', (error) => (failure ??= error))
  for (let waitedMs = 0; waitedMs < 5000; waitedMs += 5) {
    const pid = firstChild(child.pid)
    if (pid !== undefined) {
      return {
        pid,
        go: () => {
          stdin?.end('go\n')
          child.unref()
        },
      }
    }
    if (failure !== undefined) break
    await sleep(5)
  }
  child.kill('SIGKILL')
  throw new Error(`Cannot start host ${host}: ${failure?.message ?? 'its first process did not appear within 5 s'}; see ${paths.initLog}`)
}

/** The shell that became process 1 of the new namespace: the only child of unshare, once it runs the init. */
function firstChild(parent: number | undefined): number | undefined {
  if (parent === undefined) return undefined
  const text = readIfThere(`/proc/${parent}/task/${parent}/children`)
  const pid = Number(text.trim().split(' ')[0])
  if (!Number.isInteger(pid) || pid === 0) return undefined
  return readIfThere(`/proc/${pid}/cmdline`).includes('host-init.sh') ? pid : undefined
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return ''
    throw error
  }
}

/** Pulls the plug of a host: all its processes end at once. Its files stay. Resolves when nothing of it runs. */
export async function stopHost(cluster: string, host: string): Promise<void> {
  await endProcesses(() => hostProcesses(cluster).filter((one) => one.host === host).map(({ pid, isInit }) => ({ pid, first: isInit })), `host ${host}`)
  removeCgroups(`fairway/${cluster}/${host}`)
}

/** Ends every process of a cluster. */
export async function stopAllHosts(cluster: string): Promise<void> {
  await endProcesses(() => hostProcesses(cluster).map(({ pid, isInit }) => ({ pid, first: isInit })), `cluster ${cluster}`)
  removeCgroups(`fairway/${cluster}`)
}

async function endProcesses(list: () => { readonly pid: number; readonly first: boolean }[], what: string): Promise<void> {
  const known = new Set<number>()
  for (let attempt = 0; attempt < 500; attempt += 1) {
    const found = list()
    // Inits first: with them goes everything in their namespaces.
    for (const { pid } of found.sort((a, b) => Number(b.first) - Number(a.first))) {
      known.add(pid)
      signal(pid, 'SIGKILL')
    }
    if (found.length === 0 && ![...known].some(isAlive)) return
    await sleep(10)
  }
  throw new Error(`Cannot end ${what}: processes ${[...known].filter(isAlive).join(', ')} are still there 5 s after SIGKILL`)
}

/** Removes the control groups that engines made below `path`, in every hierarchy, deepest first. */
function removeCgroups(path: string): void {
  const hierarchies = ['', ...readdirSync('/sys/fs/cgroup', { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => `/${name}`)]
  for (const hierarchy of hierarchies) {
    const top = `/sys/fs/cgroup${hierarchy}/${path}`
    for (const folder of foldersBelow(top)) removeCgroup(folder)
    // The folders above are ours as well, once no cluster has anything in them.
    for (let parent = path; parent.includes('/'); ) {
      parent = parent.slice(0, parent.lastIndexOf('/'))
      removeCgroup(`/sys/fs/cgroup${hierarchy}/${parent}`)
    }
  }
}

function foldersBelow(top: string): string[] {
  let entries
  try {
    entries = readdirSync(top, { withFileTypes: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
  return [...entries.filter((entry) => entry.isDirectory()).flatMap(({ name }) => foldersBelow(`${top}/${name}`)), top]
}

function removeCgroup(folder: string): void {
  try {
    // A control group is removed by rmdir; its files are the kernel's.
    rmdirSync(folder)
  } catch (error) {
    if (!['ENOENT', 'ENOTEMPTY', 'EBUSY'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
}

/** Runs a program in a running host, with our terminal; resolves to its exit status. */
export function runInHost(cluster: string, host: string, command: readonly string[], options: SpawnOptions = { stdio: 'inherit' }): Promise<number> {
  const pid = host === switchHost ? findSwitch(cluster) : hostInits(cluster).get(host)
  if (pid === undefined) throw new Error(`Cannot run ${command[0] ?? ''} in ${host} of cluster ${cluster}: that host does not run`)
  const namespaces = host === switchHost ? ['--net'] : ['--net', '--mount', '--pid', '--uts']
  const child = spawn('nsenter', [`--target=${pid}`, ...namespaces, '--', ...command], options)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, name) => resolve(code ?? (name === null ? 1 : 128)))
  })
}
