/** Empties a namespace that is being deleted, pods first, and lets it go. */
import { isConflict, isNotFound } from '../../../api/client.ts'
import type { Informer } from '../../../api/informer.ts'
import { namespaces, pods, resourcePath } from '../../../api/resources.ts'
import type { Namespace, Pod } from '../../../api/types.ts'
import type { ReconcileResult, WorkQueue } from '../../../api/work-queue.ts'
import { equalJson } from '../canonical.ts'
import { queueOf } from '../controller.ts'
import type { Controller, ControllerContext } from '../controller.ts'
import { discover } from '../discovery.ts'
import type { DiscoveredResource } from '../discovery.ts'
import { timestamp } from '../timestamp.ts'
import { remainsConditions } from './plan.ts'

export function namespaceController(context: ControllerContext): Controller {
  return new NamespaceController(context)
}

/** Holds every namespace until this controller has emptied it. */
const finalizer = 'kubernetes'
/** How soon to look again at what is still there. Pods that go are told of by the watch. */
const lookAgainMs = 1000

class NamespaceController implements Controller {
  readonly #context: ControllerContext
  readonly #namespaces: Informer<Namespace>
  readonly #pods: Informer<Pod>
  readonly #queue: WorkQueue

  constructor(context: ControllerContext) {
    this.#context = context
    this.#namespaces = context.informers.informer(namespaces)
    this.#pods = context.informers.informer(pods)
    this.#queue = queueOf(context, 'namespace', (name) => this.#reconcile(name))
  }

  start(): void {
    this.#namespaces.onChange(({ new: namespace }) => this.#wake(namespace))
    this.#pods.onChange(({ old, new: pod }) => {
      if (pod === undefined) this.#wake(this.#namespaces.get(undefined, old?.metadata.namespace ?? ''))
    })
  }

  stop(): Promise<void> {
    return this.#queue.stop()
  }

  #wake(namespace: Namespace | undefined): void {
    if (namespace?.metadata.deletionTimestamp !== undefined) this.#queue.add(namespace.metadata.name ?? '')
  }

  async #reconcile(name: string): Promise<ReconcileResult> {
    const namespace = this.#namespaces.get(undefined, name)
    if (namespace?.metadata.deletionTimestamp === undefined || !(namespace.spec?.finalizers ?? []).includes(finalizer)) return
    const emptying = new Emptying(this.#context, name)
    await emptying.run()
    const conditions = remainsConditions(namespace, emptying, timestamp(this.#context.clock.now()))
    if (!equalJson(conditions, namespace.status?.conditions ?? [])) await this.#writeConditions(namespace, conditions)
    const isEmpty = emptying.left.size === 0 && emptying.discoveryFailures.length === 0 && emptying.deletionFailures.length === 0
    if (!isEmpty) return { requeueAfterMs: lookAgainMs }
    await this.#finalize(name)
  }

  async #writeConditions({ metadata: { name = '' } }: Namespace, conditions: unknown): Promise<void> {
    try {
      await this.#context.client.patch(namespaces, { name, subresource: 'status' }, { status: { conditions } }, { type: 'merge' })
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error
    }
  }

  async #finalize(name: string): Promise<void> {
    const { client } = this.#context
    try {
      const current = await client.get(namespaces, { name })
      const finalizers = (current.spec?.finalizers ?? []).filter((one) => one !== finalizer)
      await client.updateSubresource(namespaces, { name, subresource: 'finalize' }, { ...current, spec: { ...current.spec, finalizers } })
    } catch (error) {
      if (!isNotFound(error)) throw error
    }
  }
}

/** One pass: asks for the deletion of all that is there, and notes what remains. */
class Emptying {
  readonly left = new Map<string, number>()
  readonly finalizers = new Map<string, number>()
  readonly discoveryFailures: string[] = []
  readonly deletionFailures: string[] = []
  readonly #context: ControllerContext
  readonly #namespace: string

  constructor(context: ControllerContext, namespace: string) {
    this.#context = context
    this.#namespace = namespace
  }

  async run(): Promise<void> {
    const { resources, failures } = await discover(this.#context.client)
    this.discoveryFailures.push(...failures.map(({ message }) => message))
    const deletable = resources.filter(({ namespaced, verbs }) => namespaced && verbs.includes('list') && verbs.includes('delete'))
    const isPods = ({ group, plural }: DiscoveredResource): boolean => group === '' && plural === pods.plural
    // Pods go first, while what protects them still holds (KEP-5080).
    for (const resource of deletable.filter(isPods)) await this.#empty(resource)
    if (this.left.size > 0) return
    await Promise.all(deletable.filter((resource) => !isPods(resource)).map((resource) => this.#empty(resource)))
  }

  async #empty(resource: DiscoveredResource): Promise<void> {
    const { client } = this.#context
    const namespace = this.#namespace
    try {
      const { items } = await client.list(resource, { namespace })
      const fresh = items.filter(({ metadata }) => metadata.deletionTimestamp === undefined)
      if (fresh.length > 1 && resource.verbs.includes('deletecollection')) {
        await client.raw({ method: 'DELETE', path: resourcePath(resource, { namespace }), headers: { 'content-type': 'application/json' }, body: JSON.stringify({ kind: 'DeleteOptions', apiVersion: 'v1', propagationPolicy: 'Background' }) })
      } else {
        for (const { metadata: { name = '' } } of fresh) await this.#delete(resource, name)
      }
      const remaining = items.length === 0 ? [] : (await client.list(resource, { namespace })).items
      if (remaining.length > 0) this.left.set(resource.group === '' ? resource.plural : `${resource.plural}.${resource.group}`, remaining.length)
      for (const held of remaining.flatMap(({ metadata }) => metadata.finalizers ?? [])) this.finalizers.set(held, (this.finalizers.get(held) ?? 0) + 1)
    } catch (error) {
      this.deletionFailures.push(`${resource.plural}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }

  async #delete(resource: DiscoveredResource, name: string): Promise<void> {
    try {
      await this.#context.client.delete(resource, { namespace: this.#namespace, name }, { propagationPolicy: 'Background' })
    } catch (error) {
      if (!isNotFound(error)) throw error
    }
  }
}
