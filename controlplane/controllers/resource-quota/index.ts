/** Counts what resource quotas limit: anew when one changes, when something goes, and now and then. Admission counts up; this counts down. */
import { isNotFound } from '../../../api/client.ts'
import type { Timer } from '../../../api/clock.ts'
import type { Informer } from '../../../api/informer.ts'
import { pods, resourceQuotas } from '../../../api/resources.ts'
import type { AnyObject, KubeObject, Pod, ResourceQuota } from '../../../api/types.ts'
import type { ReconcileResult, WorkQueue } from '../../../api/work-queue.ts'
import { amountsOf, resourcesOf } from '../../quota/amounts.ts'
import type { Amounts } from '../../quota/amounts.ts'
import { countUsed, resourcesIn } from '../../quota/count.ts'
import { equalJson } from '../canonical.ts'
import { queueOf } from '../controller.ts'
import type { Controller, ControllerContext } from '../controller.ts'
import { discover } from '../discovery.ts'
import type { DiscoveredResource } from '../discovery.ts'

export function resourceQuotaController(context: ControllerContext): Controller {
  return new ResourceQuotaController(context)
}

/** How often everything is counted anew (resourcequota controller: 5 min). */
const resyncMs = 300_000
/** How long a lower count has to hold: what is charged may not be written yet. */
const settleMs = 500
/** How soon a kind is looked for again that nobody serves. */
const lookAgainMs = 30_000

class ResourceQuotaController implements Controller {
  readonly #context: ControllerContext
  readonly #quotas: Informer<ResourceQuota>
  readonly #followed = new Map<string, Informer<AnyObject>>()
  readonly #queue: WorkQueue
  /** Quotas that were counted lower than they say, and of which revision that was. */
  readonly #lower = new Map<string, string>()
  #timer: Timer | undefined

  constructor(context: ControllerContext) {
    this.#context = context
    this.#quotas = context.informers.informer(resourceQuotas)
    this.#queue = queueOf(context, 'resourcequota', (key) => this.#reconcile(key))
  }

  start(): void {
    this.#quotas.onChange(({ old, new: quota }) => {
      if (quota !== undefined) this.#queue.add(keyOf(quota))
      else if (old !== undefined) this.#lower.delete(keyOf(old))
    })
    this.#resync()
  }

  async stop(): Promise<void> {
    this.#timer?.cancel()
    await this.#queue.stop()
  }

  #resync(): void {
    for (const quota of this.#quotas.list()) this.#queue.add(keyOf(quota))
    this.#timer = this.#context.clock.setTimeout(() => this.#resync(), resyncMs)
  }

  async #reconcile(key: string): Promise<ReconcileResult> {
    const [namespace = '', name = ''] = key.split('/')
    const cached = this.#quotas.get(namespace, name)
    if (cached === undefined) return
    const isComplete = await this.#follow(resourcesIn(cached))
    // Its newest state first, and then what there is: nothing that it has been charged for is missed for a cache that is late.
    const quota = await this.#newest(namespace, name)
    if (quota === undefined) return
    const used = countUsed(quota, (resource) => this.#objects(resource, namespace), this.#context.clock.now())
    const { hard = {} } = quota.spec
    const revision = quota.metadata.resourceVersion ?? ''
    if (isLower(used, quota) && this.#lower.get(key) !== revision) {
      this.#lower.set(key, revision)
      return { requeueAfterMs: settleMs }
    }
    this.#lower.delete(key)
    const status = { hard, used: resourcesOf(used) }
    if (!equalJson(status, quota.status ?? {})) await this.#context.client.updateSubresource(resourceQuotas, { namespace, name, subresource: 'status' }, { ...quota, status })
    return isComplete ? undefined : { requeueAfterMs: lookAgainMs }
  }

  async #newest(namespace: string, name: string): Promise<ResourceQuota | undefined> {
    try {
      return await this.#context.client.get(resourceQuotas, { namespace, name })
    } catch (error) {
      if (isNotFound(error)) return undefined
      throw error
    }
  }

  #objects(resource: string, namespace: string): readonly KubeObject[] {
    return (this.#followed.get(resource)?.list() ?? []).filter(({ metadata }) => metadata.namespace === namespace)
  }

  /** Follows the kinds that a quota counts; false when one is not served. */
  async #follow(wanted: readonly string[]): Promise<boolean> {
    const missing = wanted.filter((resource) => !this.#followed.has(resource))
    if (missing.length === 0) return true
    const { resources } = await discover(this.#context.client)
    const found = resources.filter((one) => missing.includes(nameOf(one)) && one.namespaced && one.verbs.includes('watch'))
    const begun = found.map((resource) => ({ name: nameOf(resource), informer: this.#context.informers.informer<AnyObject>(resource) }))
    await Promise.all(begun.map(({ informer }) => informer.synced))
    for (const { name, informer } of begun) {
      if (this.#followed.has(name)) continue
      this.#followed.set(name, informer)
      informer.onChange(({ old, new: object }) => {
        if (old !== undefined && isLess(name, old, object)) this.#wake(old.metadata.namespace ?? '')
      })
    }
    return found.length === missing.length
  }

  #wake(namespace: string): void {
    for (const quota of this.#quotas.list()) if (quota.metadata.namespace === namespace) this.#queue.add(keyOf(quota))
  }
}

/** Whether an object may take less than before. */
function isLess(resource: string, old: KubeObject, object: KubeObject | undefined): boolean {
  if (object === undefined || old.metadata.uid !== object.metadata.uid) return true
  if (resource === pods.plural) {
    const isOver = ({ status }: Pod): boolean => status?.phase === 'Succeeded' || status?.phase === 'Failed'
    return !isOver(old as Pod) && isOver(object as Pod)
  }
  return resource === 'services' || resource === 'persistentvolumeclaims'
}

function isLower(used: Amounts, { status }: ResourceQuota): boolean {
  const noted = amountsOf(status?.used)
  return [...used].some(([name, amount]) => amount < (noted.get(name) ?? 0n))
}

function keyOf({ metadata }: KubeObject): string {
  return `${metadata.namespace ?? ''}/${metadata.name ?? ''}`
}

function nameOf({ plural, group }: DiscoveredResource): string {
  return group === '' ? plural : `${plural}.${group}`
}
