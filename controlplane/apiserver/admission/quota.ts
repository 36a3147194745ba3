// ResourceQuota: charged before something is written, one at a time in a namespace, and given back when it is not written after all
// (k8s.io/apiserver/pkg/admission/plugin/resourcequota).
import type { Pod, ResourceQuota } from '../../../api/types.ts'
import { amountsOf, listed, resourcesOf } from '../../quota/amounts.ts'
import type { Amounts } from '../../quota/amounts.ts'
import { countUsed } from '../../quota/count.ts'
import { inScope } from '../../quota/scopes.ts'
import { isAbout, usageOf } from '../../quota/usage.ts'
import { equalJson } from '../object.ts'
import type { ApiObject } from '../object.ts'
import { forbidden, qualified, StatusError } from '../status.ts'
import type { AdmissionRequest, Charge } from './request.ts'

/** Writes the status of a quota: reads it, lets `make` change it, tries again on conflict. */
export type WriteQuota = (namespace: string, name: string, make: (current: ApiObject) => ApiObject) => Promise<void>

/** What has to be counted of one quota. */
interface Demand {
  readonly quota: ResourceQuota
  readonly amounts: Amounts
}

/** Every container has to say these, if a quota limits them. */
const explicit = ['cpu', 'memory', 'requests.cpu', 'requests.memory', 'limits.cpu', 'limits.memory']

export class Quotas {
  readonly #write: WriteQuota
  /** The end of the row of each namespace. */
  readonly #rows = new Map<string, Promise<unknown>>()

  constructor(write: WriteQuota) {
    this.#write = write
  }

  /** Undefined when no quota has to do with it. */
  charge(request: AdmissionRequest): Promise<Charge | undefined> | undefined {
    const { namespace, context } = request
    if (namespace === '' || !isCounted(request) || context.list('resourcequotas', namespace).length === 0) return undefined
    return this.#inTurn(namespace, () => this.#charge(request))
  }

  async #charge(request: AdmissionRequest): Promise<Charge | undefined> {
    const demands = demandsOf(request)
    const refuse = (why: string): StatusError => forbidden(request.descriptor, request.name, why)
    for (const { quota, amounts } of demands) {
      const why = excess(quota, amounts, stateOf(quota, request))
      if (why !== undefined) throw refuse(why)
    }
    if (request.context.dryRun) return undefined
    const charged: Demand[] = []
    try {
      for (const demand of demands) {
        await this.#book(demand, request, refuse)
        charged.push(demand)
      }
    } catch (error) {
      await this.#giveBack(charged, request)
      throw error
    }
    return charged.length === 0 ? undefined : { release: () => this.#inTurn(request.namespace, () => this.#giveBack(charged, request)) }
  }

  #book({ quota, amounts }: Demand, request: AdmissionRequest, refuse: (why: string) => StatusError): Promise<void> {
    return this.#write(request.namespace, quota.metadata.name ?? '', (current) => {
      const now = current as unknown as ResourceQuota
      const state = stateOf(now, request)
      // Others may have written it meanwhile, through another server.
      const why = excess(now, amounts, state)
      if (why !== undefined) throw refuse(why)
      return withUsed(current, state, amounts, 1n)
    })
  }

  async #giveBack(charged: readonly Demand[], request: AdmissionRequest): Promise<void> {
    for (const { quota, amounts } of charged) {
      try {
        await this.#write(request.namespace, quota.metadata.name ?? '', (current) => withUsed(current, stateOf(current as unknown as ResourceQuota, request), amounts, -1n))
      } catch (error) {
        // The quota itself is gone.
        if (!(error instanceof StatusError) || error.code !== 404) throw error
      }
    }
  }

  async #inTurn<T>(namespace: string, work: () => Promise<T>): Promise<T> {
    const before = this.#rows.get(namespace) ?? Promise.resolve()
    const mine = before.then(work, work)
    this.#rows.set(namespace, mine)
    try {
      return await mine
    } finally {
      if (this.#rows.get(namespace) === mine) this.#rows.delete(namespace)
    }
  }
}

/** New objects count, and changes of those whose amounts can change. */
function isCounted({ operation, descriptor, kind, subresource, object }: AdmissionRequest): boolean {
  if (object === undefined || kind !== descriptor || !descriptor.namespaced || descriptor.virtual === true) return false
  if (operation === 'CREATE') return subresource === ''
  if (operation !== 'UPDATE' || descriptor.group !== '') return false
  return descriptor.plural === 'pods' ? subresource === 'resize' : subresource === '' && (descriptor.plural === 'services' || descriptor.plural === 'persistentvolumeclaims')
}

function demandsOf(request: AdmissionRequest): readonly Demand[] {
  const { descriptor, context, namespace, name, object, old } = request
  if (object === undefined) return []
  const resource = qualified(descriptor)
  const usage = usageOf(resource, object, context.now)
  const before = old === undefined ? undefined : usageOf(resource, old, context.now)
  const byName = (context.list('resourcequotas', namespace) as unknown as readonly ResourceQuota[]).toSorted((a, b) => ((a.metadata.name ?? '') < (b.metadata.name ?? '') ? -1 : 1))
  return byName.flatMap((quota) => {
    const limited = Object.keys(quota.spec.hard ?? {}).filter((one) => isAbout(one, resource))
    if (limited.length === 0 || !inScope(quota.spec, resource, object)) return []
    if (resource === 'pods') {
      const unsaid = missing(object as unknown as Pod, limited)
      if (unsaid !== '') throw forbidden(descriptor, name, `failed quota: ${quota.metadata.name ?? ''}: must specify ${unsaid}`)
    }
    const amounts = new Map(limited.map((one): [string, bigint] => [one, (usage.get(one) ?? 0n) - (before?.get(one) ?? 0n)]).filter(([, amount]) => amount > 0n))
    return amounts.size === 0 ? [] : [{ quota, amounts }]
  })
}

/** `cpu for: a,b; memory for: a`: which containers do not say what has to be said. */
function missing({ spec }: Pod, limited: readonly string[]): string {
  const containers = [...spec.containers, ...(spec.initContainers ?? [])]
  return explicit
    .filter((name) => limited.includes(name))
    .toSorted()
    .flatMap((name) => {
      const kind = name.startsWith('limits.') ? 'limits' : 'requests'
      const silent = containers.filter(({ resources }) => resources?.[kind]?.[name.replace(/^(?:limits|requests)\./, '')] === undefined).map((container) => container.name).toSorted()
      return silent.length === 0 ? [] : [`${name} for: ${[...new Set(silent)].join(',')}`]
    })
    .join('; ')
}

interface State {
  readonly hard: Amounts
  readonly used: Amounts
}

/** What a quota allows and has given. One that nobody has counted yet is counted here. */
function stateOf(quota: ResourceQuota, { context, namespace }: AdmissionRequest): State {
  const { hard = {} } = quota.spec
  const { status } = quota
  const isCountedAlready = status?.hard !== undefined && equalJson(status.hard, hard) && Object.keys(hard).every((name) => status.used?.[name] !== undefined)
  const used = isCountedAlready ? amountsOf(status.used) : countUsed(quota, (resource) => context.list(resource, namespace), context.now)
  return { hard: amountsOf(hard), used }
}

function excess({ metadata }: ResourceQuota, amounts: Amounts, { hard, used }: State): string | undefined {
  const over = [...amounts.keys()].filter((name) => (used.get(name) ?? 0n) + (amounts.get(name) ?? 0n) > (hard.get(name) ?? 0n))
  if (over.length === 0) return undefined
  const only = (of: Amounts): string => listed(new Map(over.map((name) => [name, of.get(name) ?? 0n])))
  return `exceeded quota: ${metadata.name ?? ''}, requested: ${only(amounts)}, used: ${only(used)}, limited: ${only(hard)}`
}

function withUsed(current: ApiObject, { used }: State, amounts: Amounts, sign: bigint): ApiObject {
  const next = new Map(used)
  for (const [name, amount] of amounts) {
    const sum = (next.get(name) ?? 0n) + sign * amount
    next.set(name, sum < 0n ? 0n : sum)
  }
  const { hard = {} } = (current as unknown as ResourceQuota).spec
  return { ...current, status: { hard, used: resourcesOf(next) } }
}
