/** The fewest writes that make a service's slices hold what it wants: endpoints stay in the slice they are in. Pure. */
import { services } from '../../../api/resources.ts'
import type { Endpoint, EndpointPort, EndpointSlice, ObjectMeta, Service } from '../../../api/types.ts'
import { canonicalJson, equalJson } from '../canonical.ts'
import { controllerReference } from '../ownership.ts'
import { addressTypesOf, isHeadless } from './endpoints.ts'
import type { AddressType, EndpointGroup } from './endpoints.ts'

export const serviceLabel = 'kubernetes.io/service-name'
const managedByLabel = 'endpointslice.kubernetes.io/managed-by'
const managedBy = 'endpointslice-controller.k8s.io'
const headlessLabel = 'service.kubernetes.io/headless'
/** endpointslice_controller.go: --max-endpoints-per-slice. */
const endpointsMax = 100

export interface SlicePlan {
  /** Without a name yet. */
  readonly create: readonly EndpointSlice[]
  readonly update: readonly EndpointSlice[]
  readonly delete: readonly EndpointSlice[]
}

export function isOurs({ metadata }: EndpointSlice): boolean {
  return metadata.labels?.[managedByLabel] === managedBy
}

/** `want` gives the groups of each address type; `have` are the slices of the service that this controller made. */
export function planSlices(service: Service, want: (type: AddressType) => readonly EndpointGroup[], have: readonly EndpointSlice[]): SlicePlan {
  const types = addressTypesOf(service)
  const plan = { create: [] as EndpointSlice[], update: [] as EndpointSlice[], delete: [] as EndpointSlice[] }
  const living = have.filter(({ metadata }) => metadata.deletionTimestamp === undefined)
  plan.delete.push(...living.filter(({ addressType }) => !types.includes(addressType as AddressType)))
  for (const type of types) {
    const slices = living.filter(({ addressType }) => addressType === type)
    // A service of no endpoints shows one empty slice, so that it can be told from one that was not looked at yet.
    const groups = want(type)
    planType(service, type, groups.length === 0 ? [{ ports: slices[0]?.ports ?? [], endpoints: [] }] : groups, slices, plan)
  }
  return plan
}

type Plan = { readonly [kind in keyof SlicePlan]: EndpointSlice[] }

function planType(service: Service, type: AddressType, groups: readonly EndpointGroup[], slices: readonly EndpointSlice[], plan: Plan): void {
  const unused = new Set(slices)
  for (const { ports, endpoints } of groups) {
    const key = portsKey(ports)
    const matching = slices.filter((slice) => portsKey(slice.ports ?? []) === key)
    for (const slice of matching) unused.delete(slice)
    for (const { slice, content } of distribute(endpoints, matching)) {
      const isLast = content.length === 0 && !(endpoints.length === 0 && slice === matching[0])
      if (slice === undefined) plan.create.push(newSlice(service, type, ports, content))
      else if (isLast) plan.delete.push(slice)
      else {
        const wanted = { ...slice, metadata: metadataOf(service, slice.metadata), endpoints: content }
        if (!equalJson(comparable(wanted), comparable(slice))) plan.update.push(wanted)
      }
    }
    if (endpoints.length === 0 && matching.length === 0) plan.create.push(newSlice(service, type, ports, []))
  }
  plan.delete.push(...unused)
}

interface Filled {
  /** Undefined: a new slice. */
  readonly slice: EndpointSlice | undefined
  readonly content: Endpoint[]
}

/** Which endpoints go into which slice: where they are now; new ones first into slices that change anyway, then into the fullest with room for all. */
function distribute(endpoints: readonly Endpoint[], slices: readonly EndpointSlice[]): Filled[] {
  const todo = new Map(endpoints.map((endpoint) => [identity(endpoint), endpoint]))
  const filled = slices.map((slice) => {
    const content: Endpoint[] = []
    let changed = false
    for (const present of slice.endpoints ?? []) {
      const wanted = todo.get(identity(present))
      changed ||= wanted === undefined || !equalJson(wanted, present)
      if (wanted === undefined) continue
      todo.delete(identity(present))
      content.push(wanted)
    }
    return { slice, content, changed }
  })
  const rest = [...todo.values()]
  const roomy = filled.filter(({ changed, content }) => changed && content.length > 0).sort((a, b) => b.content.length - a.content.length)
  for (const { content } of roomy) content.push(...rest.splice(0, endpointsMax - content.length))
  const fitting = filled.filter(({ content }) => content.length + rest.length <= endpointsMax).sort((a, b) => b.content.length - a.content.length)[0]
  if (rest.length > 0 && fitting !== undefined) fitting.content.push(...rest.splice(0))
  const made: Filled[] = []
  while (rest.length > 0) made.push({ slice: undefined, content: rest.splice(0, endpointsMax) })
  return [...filled.map(({ slice, content }) => ({ slice, content })), ...made]
}

function identity({ addresses, targetRef }: Endpoint): string {
  return `${targetRef?.uid ?? ''} ${addresses.join(' ')}`
}

function portsKey(ports: readonly EndpointPort[]): string {
  return canonicalJson(ports.map(({ name = '', port, protocol = 'TCP', appProtocol }) => ({ name, port, protocol, appProtocol })))
}

function comparable({ metadata, endpoints }: EndpointSlice): unknown {
  return [metadata.labels, metadata.ownerReferences, endpoints ?? []]
}

/** Labels of the service are carried over; those of the API's own prefixes are set here (reconciler.go setEndpointSliceLabels). */
function metadataOf(service: Service, present: ObjectMeta): ObjectMeta {
  const inherited = Object.fromEntries(Object.entries(service.metadata.labels ?? {}).filter(([label]) => ![serviceLabel, managedByLabel, headlessLabel].includes(label)))
  return {
    ...present,
    labels: { ...inherited, [serviceLabel]: service.metadata.name ?? '', [managedByLabel]: managedBy, ...(isHeadless(service) ? { [headlessLabel]: '' } : {}) },
    ownerReferences: [controllerReference(services, service)],
  }
}

function newSlice(service: Service, addressType: AddressType, ports: readonly EndpointPort[], endpoints: Endpoint[]): EndpointSlice {
  const { namespace, name = '' } = service.metadata
  return {
    apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice',
    metadata: metadataOf(service, { generateName: `${name}-`, ...(namespace === undefined ? {} : { namespace }) }),
    addressType, ports: [...ports], endpoints,
  }
}
