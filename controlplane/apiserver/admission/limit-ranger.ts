// LimitRanger: what the limit ranges of a namespace say of the resources of its pods and claims (plugin/pkg/admission/limitranger).
import { parseQuantity } from '../../../api/quantity.ts'
import type { Container, Pod, Quantity, Resources } from '../../../api/types.ts'
import { isRecord } from '../object.ts'
import { canonicalQuantity } from '../schema/quantity.ts'
import { forbidden } from '../status.ts'
import type { AdmissionRequest } from './request.ts'

interface LimitItem {
  readonly type?: string
  readonly min?: Resources
  readonly max?: Resources
  readonly default?: Resources
  readonly defaultRequest?: Resources
  readonly maxLimitRequestRatio?: Resources
}

const annotation = 'kubernetes.io/limit-ranger'

/** The limit ranges that a request has to do with, by name. */
function itemsFor({ operation, descriptor, subresource, object, context, namespace }: AdmissionRequest): readonly (readonly LimitItem[])[] {
  if (object === undefined || descriptor.group !== '') return []
  const isPod = descriptor.plural === 'pods' && ((operation === 'CREATE' && subresource === '') || (operation === 'UPDATE' && subresource === 'resize'))
  const isClaim = descriptor.plural === 'persistentvolumeclaims' && subresource === '' && (operation === 'CREATE' || operation === 'UPDATE')
  if ((!isPod && !isClaim) || (operation === 'UPDATE' && object.metadata.deletionTimestamp !== undefined)) return []
  return context
    .list('limitranges', namespace)
    .toSorted((a, b) => ((a.metadata.name ?? '') < (b.metadata.name ?? '') ? -1 : 1))
    .map((range) => {
      const { limits = [] } = ((range as unknown as { spec?: { limits?: readonly LimitItem[] } }).spec ?? {})
      return limits
    })
}

/** Gives the containers of a pod the defaults for what they do not say. */
export function applyLimitDefaults(request: AdmissionRequest): void {
  if (request.descriptor.plural !== 'pods' || request.object === undefined || !isRecord(request.object['spec'])) return
  const pod = request.object as unknown as Pod
  for (const limits of itemsFor(request)) {
    const defaults = { limits: {} as Record<string, Quantity>, requests: {} as Record<string, Quantity> }
    for (const item of limits) {
      if (item.type !== 'Container') continue
      Object.assign(defaults.limits, item.default)
      Object.assign(defaults.requests, item.defaultRequest)
    }
    const notes = [
      ...pod.spec.containers.flatMap((container) => mergeDefaults(container, defaults, 'container')),
      ...(pod.spec.initContainers ?? []).flatMap((container) => mergeDefaults(container, defaults, 'init container')),
    ]
    if (notes.length > 0) pod.metadata.annotations = { ...pod.metadata.annotations, [annotation]: `LimitRanger plugin set: ${notes.join('; ')}` }
  }
}

function mergeDefaults(container: Container, defaults: { readonly limits: Resources; readonly requests: Resources }, what: string): string[] {
  const notes: string[] = []
  for (const kind of ['requests', 'limits'] as const) {
    const own = container.resources?.[kind] ?? {}
    const missing = Object.keys(defaults[kind]).filter((name) => !Object.hasOwn(own, name)).sort()
    if (missing.length === 0) continue
    container.resources = { ...container.resources, [kind]: { ...own, ...Object.fromEntries(missing.map((name) => [name, defaults[kind][name] ?? '0'])) } }
    notes.push(`${missing.join(', ')} ${kind.slice(0, -1)} for ${what} ${container.name}`)
  }
  return notes
}

/** Refuses what is beyond the limits. */
export function checkLimits(request: AdmissionRequest): void {
  const { descriptor, name, object } = request
  for (const limits of itemsFor(request)) {
    const errors = limits.flatMap((item) => (descriptor.plural === 'pods' ? podErrors(item, object as unknown as Pod) : claimErrors(item, object ?? {})))
    if (errors.length > 0) throw forbidden(descriptor, name, errors.length === 1 ? (errors[0] ?? '') : `[${[...new Set(errors)].join(', ')}]`)
  }
}

function podErrors(item: LimitItem, { spec }: Pod): string[] {
  const { containers, initContainers = [] } = spec
  if (item.type === 'Container') return [...containers, ...initContainers].flatMap(({ resources }) => errorsOf(item, resources?.requests ?? {}, resources?.limits ?? {}))
  return item.type === 'Pod' ? errorsOf(item, ofPod(spec, 'requests'), ofPod(spec, 'limits')) : []
}

/** What all containers of a pod take together: of those that run one after another, the one that takes most. */
function ofPod({ containers, initContainers = [] }: Pod['spec'], kind: 'requests' | 'limits'): Resources {
  const sum: Record<string, number> = {}
  const add = ({ resources }: Container): void => {
    for (const [name, quantity] of Object.entries(resources?.[kind] ?? {})) sum[name] = (sum[name] ?? 0) + parseQuantity(quantity)
  }
  for (const container of containers) add(container)
  for (const container of initContainers) {
    if (container.restartPolicy === 'Always') add(container)
    else for (const [name, quantity] of Object.entries(container.resources?.[kind] ?? {})) sum[name] = Math.max(sum[name] ?? 0, parseQuantity(quantity))
  }
  return Object.fromEntries(Object.entries(sum).map(([name, amount]) => [name, canonicalQuantity(String(Number(amount.toPrecision(15)))) ?? String(amount)]))
}

function claimErrors(item: LimitItem, claim: Readonly<Record<string, unknown>>): string[] {
  if (item.type !== 'PersistentVolumeClaim') return []
  const resources = isRecord(claim['spec']) && isRecord(claim['spec']['resources']) ? claim['spec']['resources'] : {}
  const requests = isRecord(resources['requests']) ? (resources['requests'] as Resources) : {}
  return [
    ...Object.entries(item.min ?? {}).map(([name, enforced]) => minimum(item, name, enforced, requests, {})),
    ...Object.entries(item.max ?? {}).map(([name, enforced]) => {
      const request = of(requests, name)
      const said = `maximum ${name} usage per ${item.type ?? ''} is ${enforced}`
      if (request === undefined) return `${said}.  No request is specified`
      return parseQuantity(request) > parseQuantity(enforced) ? `${said}, but request is ${request}` : undefined
    }),
  ].filter((error) => error !== undefined)
}

function errorsOf(item: LimitItem, requests: Resources, limits: Resources): string[] {
  return [
    ...Object.entries(item.min ?? {}).map(([name, enforced]) => minimum(item, name, enforced, requests, limits)),
    ...Object.entries(item.max ?? {}).map(([name, enforced]) => maximum(item, name, enforced, requests, limits)),
    ...Object.entries(item.maxLimitRequestRatio ?? {}).map(([name, enforced]) => ratio(item, name, enforced, requests, limits)),
  ].filter((error) => error !== undefined)
}

function of(list: Resources, name: string): Quantity | undefined {
  return Object.hasOwn(list, name) ? list[name] : undefined
}

function minimum({ type = '' }: LimitItem, name: string, enforced: Quantity, requests: Resources, limits: Resources): string | undefined {
  const [request, limit] = [of(requests, name), of(limits, name)]
  const said = `minimum ${name} usage per ${type} is ${enforced}`
  if (request === undefined) return `${said}.  No request is specified`
  if (parseQuantity(request) < parseQuantity(enforced)) return `${said}, but request is ${request}`
  return limit !== undefined && parseQuantity(limit) < parseQuantity(enforced) ? `${said}, but limit is ${limit}` : undefined
}

function maximum({ type = '' }: LimitItem, name: string, enforced: Quantity, requests: Resources, limits: Resources): string | undefined {
  const [request, limit] = [of(requests, name), of(limits, name)]
  const said = `maximum ${name} usage per ${type} is ${enforced}`
  if (limit === undefined) return `${said}.  No limit is specified`
  if (parseQuantity(limit) > parseQuantity(enforced)) return `${said}, but limit is ${limit}`
  return request !== undefined && parseQuantity(request) > parseQuantity(enforced) ? `${said}, but request is ${request}` : undefined
}

function ratio({ type = '' }: LimitItem, name: string, enforced: Quantity, requests: Resources, limits: Resources): string | undefined {
  const [request, limit] = [of(requests, name), of(limits, name)]
  const said = `${name} max limit to request ratio per ${type} is ${enforced}`
  if (request === undefined || parseQuantity(request) === 0) return `${said}, but no request is specified or request is 0`
  if (limit === undefined || parseQuantity(limit) === 0) return `${said}, but no limit is specified or limit is 0`
  const given = parseQuantity(limit) / parseQuantity(request)
  return given > parseQuantity(enforced) ? `${said}, but provided ratio is ${given.toFixed(6)}` : undefined
}
