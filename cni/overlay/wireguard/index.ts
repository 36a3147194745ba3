/** The encrypted link between hosts: kept there, kept as it is wanted, and looked at, since neither kernel nor program tells when somebody changes its peers. */
import type { Clock, Timer } from '../../../api/clock.ts'
import type { Logger } from '../../../api/log.ts'
import type { WantedTunnel } from '../want.ts'
import { ownKeys } from './keys.ts'
import type { KeyPair } from './keys.ts'
import { describeChange, planDevice } from './plan.ts'
import { openTunnel } from './tunnel.ts'
import type { Tunnel, TunnelOptions } from './tunnel.ts'

const lookMs = 1000

export class WireguardLink {
  readonly #keys: KeyPair
  readonly #tunnel: Tunnel
  readonly #clock: Clock
  readonly #log: Logger
  readonly #onChange: () => void
  #want: WantedTunnel | undefined
  #timer: Timer | undefined
  #looking: Promise<void> = Promise.resolve()
  #stopped = false

  /** Throws where this host cannot encrypt. `onChange` is called when the link is not as it was left. */
  constructor(options: Omit<TunnelOptions, 'onEnd'> & { readonly log: Logger; readonly onChange: () => void }) {
    const { dataDir, clock, log, onChange } = options
    this.#clock = clock
    this.#log = log
    this.#onChange = onChange
    this.#tunnel = openTunnel({
      ...options,
      onEnd: () => {
        log.warn('the program that encrypts ended', { program: this.#tunnel.by })
        onChange()
      },
    })
    this.#keys = ownKeys(dataDir)
    log.info('encrypting between hosts by WireGuard', { by: this.#tunnel.by })
  }

  get publicKey(): string {
    return this.#keys.publicKey
  }

  /** Makes the link where it is not there; says what had to be done. */
  async ensure(): Promise<string[]> {
    return (await this.#tunnel.ensure()) ? ['addTunnel'] : []
  }

  /** Sets key, port and peers where they are not as wanted; says what had to be done. */
  async sync(want: WantedTunnel): Promise<string[]> {
    this.#want = want
    const change = planDevice({ ...want, privateKey: this.#keys.privateKey }, await this.#tunnel.read())
    if (change !== undefined) await this.#tunnel.change(change)
    this.#look()
    return change === undefined ? [] : describeChange(change)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    await this.#looking
    await this.#tunnel.stop()
  }

  #look(): void {
    if (this.#stopped || this.#timer !== undefined) return
    this.#timer = this.#clock.setTimeout(() => {
      this.#looking = this.#isAsWanted().then((asWanted) => {
        this.#timer = undefined
        if (!asWanted) this.#onChange()
        this.#look()
      })
    }, lookMs)
  }

  async #isAsWanted(): Promise<boolean> {
    try {
      return this.#want === undefined || planDevice({ ...this.#want, privateKey: this.#keys.privateKey }, await this.#tunnel.read()) === undefined
    } catch (error) {
      this.#log.debug('the encrypted link cannot be read', { error })
      return false
    }
  }
}
