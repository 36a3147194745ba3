/** The Secrets that ingresses name for TLS, each followed by its name: a node may read those and no others. */
import type { Client } from '../../api/client.ts'
import type { Clock, Random } from '../../api/clock.ts'
import { Informer } from '../../api/informer.ts'
import type { Logger } from '../../api/log.ts'
import { secrets } from '../../api/resources.ts'
import type { Secret } from '../../api/types.ts'

export class TlsSecrets {
  readonly #client: Client
  readonly #options: { readonly clock: Clock; readonly random: Random; readonly log: Logger }
  readonly #followed = new Map<string, Informer<Secret>>()

  constructor(client: Client, { clock, random, log }: { readonly clock: Clock; readonly random: Random; readonly log: Logger }) {
    this.#client = client
    this.#options = { clock, random, log }
  }

  /** Follows these, by `namespace/name`, and no others any more. */
  follow(keys: ReadonlySet<string>): void {
    for (const [key, informer] of this.#followed) {
      if (keys.has(key)) continue
      informer.stop()
      this.#followed.delete(key)
    }
    for (const key of keys) {
      if (this.#followed.has(key)) continue
      const [namespace = '', name = ''] = key.split('/')
      const informer = new Informer(this.#client, secrets, { ...this.#options, namespace, fieldSelector: `metadata.name=${name}` })
      this.#followed.set(key, informer)
      informer.start()
    }
  }

  get(key: string): Secret | undefined {
    return this.#followed.get(key)?.getByKey(key)
  }

  stop(): void {
    this.follow(new Set())
  }
}
