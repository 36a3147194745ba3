/** The informers of one component: one per resource and selection, shared by everything in it that asks. */
import type { Client } from './client.ts'
import { Informer } from './informer.ts'
import type { InformerOptions } from './informer.ts'
import type { Resource } from './resources.ts'
import type { KubeObject } from './types.ts'

export type Selection = Pick<InformerOptions, 'namespace' | 'labelSelector' | 'fieldSelector'>

export class InformerSet {
  readonly #client: Client
  readonly #options: Omit<InformerOptions, keyof Selection>
  readonly #informers = new Map<string, Informer<KubeObject>>()
  #started = false

  constructor(client: Client, options: Omit<InformerOptions, keyof Selection> = {}) {
    this.#client = client
    this.#options = options
  }

  /** The informer of a resource; the same one for the same selection, with what the first who asked for it keeps of an object. */
  informer<T extends KubeObject>(resource: Resource<T>, { transform, ...selection }: Selection & Pick<InformerOptions, 'transform'> = {}): Informer<T> {
    const key = [resource.group, resource.version, resource.plural, selection.namespace, selection.labelSelector, selection.fieldSelector].join('|')
    const present = this.#informers.get(key)
    if (present !== undefined) return present as unknown as Informer<T>
    const informer = new Informer(this.#client, resource, { ...this.#options, ...selection, ...(transform === undefined ? {} : { transform }) })
    this.#informers.set(key, informer as unknown as Informer<KubeObject>)
    if (this.#started) informer.start()
    return informer
  }

  start(): void {
    this.#started = true
    for (const informer of this.#informers.values()) informer.start()
  }

  /** Resolves when all informers asked for so far have their first list. */
  get synced(): Promise<void> {
    return Promise.all([...this.#informers.values()].map((informer) => informer.synced)).then(() => undefined)
  }

  stop(): void {
    for (const informer of this.#informers.values()) informer.stop()
  }
}
