/** Who does WireGuard on this host: the kernel where it can, else a program in user space. */
import { accessSync, constants } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from '../../../api/clock.ts'
import type { Netns } from '../../../netlink/netns.ts'
import type { RouteSocket } from '../../../netlink/route/index.ts'
import { Wireguard } from '../../../netlink/wireguard.ts'
import type { WireguardChange, WireguardDevice } from '../../../netlink/wireguard.ts'
import { wireguardLinkName } from '../want.ts'
import { ProgramTunnel } from './program.ts'

/** The link, and what is set of it by other ways than rtnetlink. */
export interface Tunnel {
  /** `kernel`, or the program's path. */
  readonly by: string
  /** Makes the link where it is not there. Says whether it had to. */
  ensure(): Promise<boolean>
  read(): Promise<WireguardDevice>
  change(change: WireguardChange): Promise<void>
  /** Ends what the agent started; what is the kernel's stays. */
  stop(): Promise<void>
}

export interface WireguardOptions {
  /** Used where the kernel has no WireGuard; left out, one of the known ones that is installed. */
  readonly program?: string | undefined
  /** Where it puts its socket, `/var/run/wireguard` unless it was built otherwise. */
  readonly socketDir?: string | undefined
}

export interface TunnelOptions extends WireguardOptions {
  readonly route: RouteSocket
  readonly netns: Netns | undefined
  /** For what the program says. */
  readonly dataDir: string
  readonly clock: Clock
  /** The program ended by itself. */
  readonly onEnd: () => void
}

/** Such programs take `-f NAME` and are spoken to by the socket of the cross-platform interface. */
const knownPrograms = ['wireguard-go', 'boringtun-cli'] as const

/** Throws where there is neither. */
export function openTunnel(options: TunnelOptions): Tunnel {
  const wireguard = Wireguard.open({ netns: options.netns })
  return wireguard === undefined ? new ProgramTunnel({ ...options, program: findProgram(options.program) }) : new KernelTunnel(wireguard, options.route)
}

/** Whether hosts of this machine can encrypt; throws, with what to do about it, where they cannot. */
export function checkWireguard({ program }: WireguardOptions = {}): void {
  using wireguard = Wireguard.open()
  if (wireguard === undefined) findProgram(program)
}

/** For tests: `searchPath` is PATH. */
export function findProgram(program: string | undefined, searchPath = process.env['PATH'] ?? ''): string {
  const names = program === undefined ? knownPrograms : [program]
  const candidates = names.flatMap((name) => (name.includes('/') ? [name] : searchPath.split(':').filter((folder) => folder !== '').map((folder) => join(folder, name))))
  const found = candidates.find(isExecutable)
  if (found !== undefined) return found
  throw new Error(program === undefined
    ? `Cannot encrypt between hosts: this kernel has no WireGuard, and no program that does it in its place is installed (${knownPrograms.join(' or ')}, in PATH)`
    : `Cannot encrypt between hosts: this kernel has no WireGuard, and ${program} is no program that can be run`)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch (error) {
    if (['ENOENT', 'EACCES', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return false
    throw error
  }
}

/** For tests; else by `openTunnel`. */
export class KernelTunnel implements Tunnel {
  readonly by = 'kernel'
  readonly #wireguard: Pick<Wireguard, 'get' | 'set' | 'close'>
  readonly #route: Pick<RouteSocket, 'links'>

  constructor(wireguard: Pick<Wireguard, 'get' | 'set' | 'close'>, route: Pick<RouteSocket, 'links'>) {
    this.#wireguard = wireguard
    this.#route = route
  }

  async ensure(): Promise<boolean> {
    const link = this.#route.links.get(wireguardLinkName)
    if (link?.kind === 'wireguard') return false
    // a program's, from before the kernel had it
    if (link !== undefined) this.#route.links.delete(link.index)
    this.#route.links.add({ kind: 'wireguard', name: wireguardLinkName })
    return true
  }

  async read(): Promise<WireguardDevice> {
    return this.#wireguard.get(wireguardLinkName)
  }

  async change(change: WireguardChange): Promise<void> {
    this.#wireguard.set(wireguardLinkName, change)
  }

  async stop(): Promise<void> {
    this.#wireguard.close()
  }
}
