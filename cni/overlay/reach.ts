/**
 * Whether the peers answer, asked every few seconds over the way that pods take; and what is done where checksums do not survive it.
 *
 * A packet that leaves through the tunnel has no checksum yet: the network card below is to fill it in, within the encapsulation. Some cards, drivers and
 * hypervisors get that wrong, and then echoes arrive and everything else is dropped, silently. That is what is looked for here, rather than
 * names of drivers and numbers of kernels: the tunnel's checksums are computed by the kernel from then on, if that makes the difference.
 */
import type { Clock, Timer } from '../../api/clock.ts'
import type { Logger } from '../../api/log.ts'
import { setChecksumOffload } from '../../netlink/ethtool.ts'
import type { Netns } from '../../netlink/netns.ts'
import { answersEcho, takesDatagram } from '../../netlink/reach.ts'
import { gatewayOf, vxlanLinkName, wireguardLinkName } from './want.ts'
import type { Host, OverlayWant } from './want.ts'

export type Reach = 'reachable' | 'silent' | 'datagrams lost'

/** One range of a peer, and an address of that peer on the way there. */
export interface Target {
  readonly node: string
  readonly podCIDR: string
  readonly address: string
  /** Whether what goes there has its checksum left to links below the tunnel. */
  readonly tunnelled: boolean
}

const intervalMs = 10_000
const answerMs = 1000
/** A host that joins is known before it is ready. */
const settleMs = 1000
/** Asked at the same time. */
const atOnce = 32
/** So often in a row only echoes must arrive before it is taken for more than loss. */
const lossesMin = 3
/** When computing checksums made no difference it is not tried again for so long: a firewall looks the same. */
const trialPauseMs = 600_000

/** Through the tunnel it is the peer's address in its own pod range, else that of the peer itself. Peers without a route have no target. Pure. */
export function reachTargets({ routes }: Pick<OverlayWant, 'routes'>, peers: readonly Host[]): Target[] {
  const byDestination = new Map(routes.filter(({ type }) => type === 'unicast').map((route) => [route.destination, route]))
  return peers.flatMap(({ name, podCIDRs }) => podCIDRs.flatMap((podCIDR) => {
    const route = byDestination.get(podCIDR)
    const tunnelled = route?.link === vxlanLinkName
    const address = tunnelled || route?.link === wireguardLinkName ? gatewayOf(podCIDR) : route?.gateway
    return address === undefined ? [] : [{ node: name, podCIDR, address, tunnelled }]
  }))
}

export interface AskOptions {
  readonly clock: Clock
  readonly netns: Netns | undefined
}

/** Asks one address. A datagram that arrives says all; an echo is asked for where none does. */
export async function ask(address: string, { clock, netns }: AskOptions): Promise<Reach> {
  if (await inTime(clock, (signal) => takesDatagram(address, { netns, signal }))) return 'reachable'
  return await inTime(clock, (signal) => answersEcho(address, { netns, signal })) ? 'datagrams lost' : 'silent'
}

async function inTime(clock: Clock, question: (signal: AbortSignal) => Promise<boolean>): Promise<boolean> {
  const controller = new AbortController()
  const timer = clock.setTimeout(() => controller.abort(), answerMs)
  try {
    return await question(controller.signal)
  } finally {
    timer.cancel()
  }
}

export interface ReachabilityOptions {
  readonly clock: Clock
  readonly log: Logger
  readonly netns: Netns | undefined
  /** Called once checksums have to be computed, from now on and of every tunnel made later. */
  readonly onChecksumTrouble: () => void
  readonly ask?: typeof ask
  readonly setOffload?: (offloaded: boolean) => void
}

export class Reachability {
  /** By pod range. */
  readonly states = new Map<string, Reach>()
  readonly #options: ReachabilityOptions
  readonly #losses = new Map<string, number>()
  /** What the log says of each. */
  readonly #told = new Map<string, Reach>()
  #targets: readonly Target[] = []
  #timer: Timer | undefined
  #asking: Promise<void> = Promise.resolve()
  #stopped = false
  #trialAfterMs = 0
  #computed = false

  constructor(options: ReachabilityOptions) {
    this.#options = options
  }

  /** Follows these from now on; new ones are asked soon, and all at once where a question is what makes the way. */
  follow(targets: readonly Target[], { now = false } = {}): void {
    const known = new Set(this.#targets.map(({ podCIDR, address }) => `${podCIDR} ${address}`))
    this.#targets = targets
    const kept = new Set(targets.map(({ podCIDR }) => podCIDR))
    for (const map of [this.states, this.#losses, this.#told]) for (const podCIDR of map.keys()) if (!kept.has(podCIDR)) map.delete(podCIDR)
    this.#due(now ? 0 : targets.some(({ podCIDR, address }) => !known.has(`${podCIDR} ${address}`)) ? settleMs : intervalMs)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    await this.#asking
  }

  #due(ms: number): void {
    if (this.#stopped || (this.#timer !== undefined && ms >= intervalMs)) return
    this.#timer?.cancel()
    this.#timer = this.#options.clock.setTimeout(() => {
      this.#asking = this.#asking.then(() => this.#round()).catch((error: unknown) => this.#options.log.warn('peers cannot be asked', { error })).then(() => {
        this.#timer = undefined
        this.#due(intervalMs)
      })
    }, ms)
  }

  async #round(): Promise<void> {
    const targets = this.#targets
    for (let at = 0; at < targets.length && !this.#stopped; at += atOnce) {
      await Promise.all(targets.slice(at, at + atOnce).map((target) => this.#ask(target)))
    }
    const lost = targets.find(({ podCIDR, tunnelled }) => tunnelled && (this.#losses.get(podCIDR) ?? 0) >= lossesMin)
    if (lost !== undefined && !this.#stopped) await this.#tryChecksums(lost)
  }

  async #ask(target: Target): Promise<void> {
    const { clock, netns, log, ask: question = ask } = this.#options
    const reach = await question(target.address, { clock, netns })
    if (!this.#targets.includes(target)) return
    const { node, podCIDR, address } = target
    if (reach === 'datagrams lost') this.#losses.set(podCIDR, (this.#losses.get(podCIDR) ?? 0) + 1)
    else this.#losses.delete(podCIDR)
    const before = this.states.get(podCIDR)
    const told = this.#told.get(podCIDR) ?? 'reachable'
    this.states.set(podCIDR, reach)
    // twice in a row: a host that has just joined, or a lost packet, is no news
    if (reach === told || (reach !== 'reachable' && reach !== before)) return
    this.#told.set(podCIDR, reach)
    if (reach === 'reachable') log.info('peer answers again', { node, podCIDR, address })
    else log.warn('peer does not answer as it should', { node, podCIDR, address, reach })
  }

  /** Leaves it so only where it helps. */
  async #tryChecksums(target: Target): Promise<void> {
    const { clock, netns, log, onChecksumTrouble, ask: question = ask, setOffload = (offloaded) => setChecksumOffload(vxlanLinkName, offloaded, { netns }) } = this.#options
    if (this.#computed || clock.monotonicMs() < this.#trialAfterMs) return
    setOffload(false)
    const reach = await question(target.address, { clock, netns })
    if (reach === 'reachable') {
      this.#computed = true
      log.warn('the network below corrupts checksums of what goes through the tunnel: they are computed here from now on', { node: target.node })
      onChecksumTrouble()
    } else {
      setOffload(true)
      this.#trialAfterMs = clock.monotonicMs() + trialPauseMs
      log.warn('datagrams through the tunnel are lost, though echoes are not: a firewall of the peer or between?', { node: target.node, address: target.address })
    }
  }
}
