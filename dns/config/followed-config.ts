/** A ConfigMap that is followed: whoever writes it changes the server's settings. One that cannot be used is refused, and what held before holds on. */
import type { Client } from '../../api/client.ts'
import type { Clock, Random } from '../../api/clock.ts'
import { EventRecorder } from '../../api/events.ts'
import { Informer } from '../../api/informer.ts'
import type { Logger } from '../../api/log.ts'
import { configMaps } from '../../api/resources.ts'
import type { ConfigMap } from '../../api/types.ts'
import { readSettings } from './config-map.ts'
import type { ReadOptions, Settings } from './settings.ts'

export interface ConfigOptions extends ReadOptions {
  readonly client: Client
  /** `kube-system/fairway-dns` */
  readonly name: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  /** Told of every change that can be used; resolves when it holds. */
  readonly onChange: (settings: Settings) => Promise<void>
}

export class FollowedConfig {
  readonly #options: ConfigOptions
  readonly #informer: Informer<ConfigMap>
  readonly #events: EventRecorder
  #taking: Promise<void> = Promise.resolve()
  /** Changes that were refused, for the metrics. */
  refused = 0

  constructor(options: ConfigOptions) {
    const { client, clock, random, log, name } = options
    const [namespace = '', mapName = ''] = name.split('/')
    if (!/^[^/]+\/[^/]+$/.test(name)) throw new Error(`Cannot follow ConfigMap ${JSON.stringify(name)}: write it as NAMESPACE/NAME`)
    this.#options = options
    this.#informer = new Informer(client, configMaps, { namespace, fieldSelector: `metadata.name=${mapName}`, clock, random, log })
    this.#events = new EventRecorder({ client, clock, log, component: 'fairway-dns' })
    this.#informer.onChange(({ new: map }) => {
      // The server may know no field selectors.
      if (map === undefined || map.metadata.name === mapName) this.#taking = this.#take(map)
    })
  }

  /** Resolves when what is there now holds or was refused, or nobody tells what is there for so long. */
  async start(waitMs: number): Promise<void> {
    const { clock } = this.#options
    this.#informer.start()
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const timer = clock.setTimeout(resolve, waitMs)
    await Promise.race([this.#informer.synced.then(() => this.#taking), late])
    timer.cancel()
  }

  stop(): void {
    this.#informer.stop()
  }

  async #take(map: ConfigMap | undefined): Promise<void> {
    const { name, base, log, onChange } = this.#options
    try {
      const { settings, notes } = map === undefined ? { settings: base, notes: [] } : readSettings(map.data ?? {}, this.#options)
      for (const note of notes) log.info('a setting makes no difference', { configMap: name, note })
      await onChange(settings)
      log.info(map === undefined ? 'the configuration is gone; the flags hold' : 'took the configuration', { configMap: name, revision: map?.metadata.resourceVersion })
    } catch (error) {
      this.refused += 1
      const { message } = error as Error
      log.error('the configuration is refused; what held before holds on', { configMap: name, error })
      if (map !== undefined) this.#events.event({ ...map, kind: 'ConfigMap', apiVersion: 'v1' }, 'Warning', 'ConfigurationRefused', `${message}. What held before holds on.`)
    }
  }
}
