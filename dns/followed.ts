/** One kind of objects: first as the snapshot has them, then as the API server does. Whoever is not in its list goes when the list is in. */
import type { Client } from '../api/client.ts'
import { Informer, objectKey } from '../api/informer.ts'
import type { InformerOptions } from '../api/informer.ts'
import type { Resource } from '../api/resources.ts'
import type { KubeObject } from '../api/types.ts'
import { keptOf } from './zone/kept.ts'
import type { Kind } from './zone/kept.ts'

/** Handlers are told, of a change that the watch brought, what the API server's controllers say when it began (milliseconds since the epoch). */
export type OnChange = (old: KubeObject | undefined, next: KubeObject | undefined, begunAt?: number) => void

const triggerAnnotation = 'endpoints.kubernetes.io/last-change-trigger-time'

export interface FollowOptions extends InformerOptions {
  readonly onChange: OnChange
  /** What is kept of an object; left out, what its kind says. */
  readonly keep?: ((object: KubeObject) => KubeObject) | undefined
}

export class Followed {
  readonly kind: Kind
  readonly informer: Informer<KubeObject>
  readonly #onChange: OnChange
  readonly #keepOf: (object: KubeObject) => KubeObject
  readonly #restored = new Map<string, KubeObject>()
  /** What is not kept of an object, but for as long as it comes. */
  readonly #begunAt = new WeakMap<KubeObject, number>()

  constructor(client: Client, resource: Resource<KubeObject>, { onChange, keep, ...options }: FollowOptions) {
    this.kind = resource.plural as Kind
    this.#onChange = onChange
    this.#keepOf = keep ?? keptOf[this.kind]
    this.informer = new Informer(client, resource, { ...options, transform: (object) => this.#keep(object) })
    this.informer.onChange(({ old, new: next }) => {
      const key = objectKey(next ?? old ?? { metadata: {} })
      const before = old ?? this.#restored.get(key)
      this.#restored.delete(key)
      onChange(before, next, next === undefined || !this.informer.hasSynced() ? undefined : this.#begunAt.get(next))
    })
  }

  /** Takes what a snapshot has; before `start`. */
  restore(objects: readonly KubeObject[]): void {
    for (const object of objects) {
      this.#restored.set(objectKey(object), object)
      this.#onChange(undefined, object)
    }
  }

  /** Resolves when the list is in, and what it does not have is gone. */
  async start(): Promise<void> {
    this.informer.start()
    await this.informer.synced
    for (const object of this.#restored.values()) this.#onChange(object, undefined)
    this.#restored.clear()
  }

  stop(): void {
    this.informer.stop()
  }

  #keep(object: KubeObject): KubeObject {
    const kept = this.#keepOf(object)
    const begunAt = Date.parse(object.metadata.annotations?.[triggerAnnotation] ?? '')
    if (!Number.isNaN(begunAt)) this.#begunAt.set(kept, begunAt)
    return kept
  }
}
