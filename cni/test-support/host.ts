/** A host for tests: a network namespace of its own, a folder for state, installed executables, and pods to attach. Everything goes when it is disposed of. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Netns } from '../../netlink/netns.ts'
import { openNftables } from '../../netlink/nftables/index.ts'
import { RouteSocket } from '../../netlink/route/index.ts'
import { installCni } from '../executable/install.ts'
import { Journal } from '../ipam/journal.ts'
import { translationFamilies, translationTable } from '../plugin/translation.ts'

export interface Finished {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program to its end; what it was given on standard input it need not read. */
export function execute(file: string, args: readonly string[], { input = '', env }: { readonly input?: string; readonly env?: Readonly<Record<string, string>> } = {}): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { env: { PATH: process.env['PATH'], ...env }, stdio: 'pipe' })
    const out: Buffer[] = []
    const err: Buffer[] = []
    child.stdout.on('data', (data: Buffer) => out.push(data))
    child.stderr.on('data', (data: Buffer) => err.push(data))
    child.stdin.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') reject(error)
    })
    child.on('error', reject)
    child.on('close', (code) => resolve({ status: code ?? -1, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() }))
    child.stdin.end(input)
  })
}

export interface Attach {
  readonly plugin?: string
  readonly command: string
  readonly containerId?: string
  readonly netns?: string
  readonly ifname?: string
  readonly args?: string
  readonly config: unknown
}

/** What a plugin answered, as JSON where it is any. */
export interface Answered extends Finished {
  readonly object: Record<string, unknown>
}

export class TestHost {
  readonly folder: string
  netns: Netns
  route: RouteSocket
  readonly binDir: string
  readonly dataDir: string
  readonly socketPath: string
  readonly #pods = new Map<string, Netns>()
  #service: ChildProcess | undefined

  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), 'fairway-cni-'))
    this.netns = Netns.create(join(this.folder, 'host'))
    this.route = RouteSocket.open({ netns: this.netns })
    this.route.links.set('lo', { up: true })
    this.binDir = join(this.folder, 'bin')
    this.dataDir = join(this.folder, 'data')
    this.socketPath = join(this.folder, 'cni.sock')
    installCni({ binDir: this.binDir, socketPath: this.socketPath })
  }

  /** A configuration as the list would give it to the plugin. */
  config(more: Readonly<Record<string, unknown>> = {}, subnets: readonly string[] = ['10.244.0.0/24']): Record<string, unknown> {
    return {
      cniVersion: '1.1.0', name: 'test', type: 'fairway', mtu: 1400,
      ipam: { type: 'fairway-ipam', dataDir: this.dataDir, ranges: subnets.map((subnet) => [{ subnet }]) },
      ...more,
    }
  }

  /** Makes a pod's namespace and returns its path. */
  addPod(name: string): string {
    const path = this.podPath(name)
    this.#pods.set(name, Netns.create(path))
    return path
  }

  podPath(name: string): string {
    return join(this.folder, `pod-${name}`)
  }

  pod(name: string): Netns {
    const netns = this.#pods.get(name)
    if (netns === undefined) throw new Error(`Cannot find pod ${name}: it was not added`)
    return netns
  }

  removePod(name: string): void {
    this.pod(name).close()
    this.#pods.delete(name)
    Netns.delete(this.podPath(name))
  }

  /** Starts the resident part in the host's namespace. */
  async serve(): Promise<void> {
    const file = new URL('serve.ts', import.meta.url).pathname
    const child = spawn('nsenter', [`--net=${join(this.folder, 'host')}`, process.execPath, file, this.socketPath], { stdio: ['ignore', 'pipe', 'inherit'] })
    this.#service = child
    await once(child.stdout, 'data')
  }

  /** Ends the resident part: with SIGKILL, its socket stays behind. */
  async stopServing(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    const child = this.#service
    this.#service = undefined
    if (child === undefined) return null
    const ended = once(child, 'exit')
    child.kill(signal)
    const [code] = (await ended) as [number | null]
    return code
  }

  /** Executes a plugin as a runtime does, in the host's namespace. */
  async cni({ plugin = 'fairway', command, containerId, netns, ifname, args, config }: Attach): Promise<Answered> {
    const env = Object.entries({ CNI_COMMAND: command, CNI_CONTAINERID: containerId, CNI_NETNS: netns, CNI_IFNAME: ifname, CNI_ARGS: args, CNI_PATH: this.binDir })
    const finished = await execute('nsenter', [`--net=${join(this.folder, 'host')}`, join(this.binDir, plugin)], {
      input: typeof config === 'string' ? config : JSON.stringify(config),
      env: Object.fromEntries(env.filter((pair): pair is [string, string] => pair[1] !== undefined)),
    })
    return { ...finished, object: (finished.stdout === '' ? {} : JSON.parse(finished.stdout)) as Record<string, unknown> }
  }

  add(name: string, config: unknown = this.config()): Promise<Answered> {
    return this.cni({ command: 'ADD', containerId: name, netns: this.podPath(name), ifname: 'eth0', config })
  }

  del(name: string, config: unknown = this.config()): Promise<Answered> {
    return this.cni({ command: 'DEL', containerId: name, netns: this.podPath(name), ifname: 'eth0', config })
  }

  /** Runs a program in the host, or in one of its pods. */
  run(where: string | undefined, ...command: readonly string[]): Promise<Finished> {
    return execute('nsenter', [`--net=${this.pathOf(where)}`, ...command])
  }

  /** The namespace of a pod, or the host's. */
  pathOf(where: string | undefined): string {
    return where === undefined ? join(this.folder, 'host') : this.podPath(where)
  }

  /** The machine starts again: processes, namespaces and memory file systems are gone, disks are not. */
  async reboot(): Promise<void> {
    await this.stopServing('SIGKILL')
    for (const name of this.#pods.keys()) this.removePod(name)
    this.route.close()
    this.netns.close()
    Netns.delete(this.pathOf(undefined))
    rmSync(this.socketPath, { force: true })
    this.netns = Netns.create(this.pathOf(undefined))
    this.route = RouteSocket.open({ netns: this.netns })
    this.route.links.set('lo', { up: true })
    await this.serve()
  }

  [Symbol.dispose](): void {
    this.#service?.kill('SIGKILL')
    for (const name of this.#pods.keys()) this.removePod(name)
    this.route.close()
    this.netns.close()
    Netns.delete(join(this.folder, 'host'))
    rmSync(this.folder, { recursive: true })
  }
}

/** The first address of a result, without its prefix length. */
export function addressOf({ object }: Answered): string {
  const ips = object['ips'] as readonly { readonly address: string }[]
  return ips[0]?.address.split('/')[0] ?? ''
}

/** Everything that attachments leave on a host: links but `lo`, routes of pods, addresses in use. */
export function leftovers(host: TestHost): { links: string[]; routes: string[]; addresses: string[]; elements: string[]; records: string[] } {
  using nftables = openNftables({ netns: host.netns })
  const tables = translationFamilies.flatMap((family) => nftables.list(translationTable(family)) ?? [])
  const records = join(host.dataDir, 'attachments', 'test')
  return {
    links: host.route.links.list({ kind: 'veth' }).map(({ name }) => name),
    // that to the pods' gateway is the host's, where it has no default route
    routes: host.route.routes.list({ protocol: 70 }).map(({ destination }) => destination).filter((destination) => destination !== '169.254.1.1/32'),
    addresses: new Journal(host.dataDir, 'test').read().holdings().map(({ address }) => address),
    elements: tables.flatMap(({ sets }) => [...sets.values()].flatMap(({ name, elements }) => elements.map(({ key }) => `${name} ${key.join(' ')}`))),
    records: existsSync(records) ? readdirSync(records) : [],
  }
}

export const nothing = { links: [], routes: [], addresses: [], elements: [], records: [] }

/** A host with addresses of its own, with or without the resident part. */
export async function makeHost(path: 'resident' | 'stand-alone'): Promise<TestHost> {
  const host = new TestHost()
  if (path === 'resident') await host.serve()
  const lo = host.route.links.get('lo')?.index ?? 1
  host.route.addresses.add({ link: lo, address: '192.0.2.1', prefixLength: 32 })
  host.route.addresses.add({ link: lo, address: '2001:db8::1', prefixLength: 128, noDad: true })
  return host
}
