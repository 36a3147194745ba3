// Who has which cluster IP, as objects: an IPAddress for every address of a Service, and ServiceCIDRs that say whether they can be used
// (kube-apiserver's allocator and repair loop, kube-controller-manager's servicecidrs controller).
import type { Clock, Random } from '../../../api/clock.ts'
import type { Logger } from '../../../api/log.ts'
import type { Service } from '../../../api/types.ts'
import { WorkQueue } from '../../../api/work-queue.ts'
import { isStoreError } from '../../store/index.ts'
import type { WatchCache } from '../cache/index.ts'
import { equalJson, isRecord, timestamp, valueAt } from '../object.ts'
import type { ApiObject } from '../object.ts'
import type { Registry } from '../registry.ts'
import { AddressRange, familyOf } from '../resources/allocation/address-range.ts'
import { StatusError } from '../status.ts'
import type { Writer } from '../write/writer.ts'
import { serverUser } from './objects.ts'

interface ServiceAddressesOptions {
  readonly cache: WatchCache
  readonly registry: Registry
  readonly writer: Writer
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}

const addressResource = 'ipaddresses.networking.k8s.io'
const rangeResource = 'servicecidrs.networking.k8s.io'
/** Holds a range for as long as a Service has an address of it. */
const rangeFinalizer = 'networking.k8s.io/service-cidr-finalizer'
const managedBy = 'ipallocator.k8s.io'

/** Keeps the objects in step with the Services. Returns what stops it. */
export function startServiceAddresses(options: ServiceAddressesOptions): () => void {
  const { cache, clock, random, log } = options
  const reconcile = async (key: string): Promise<void> => {
    if (key.startsWith('range ')) await reconcileRange(options, key.slice(6))
    else await reconcileAddresses(options)
  }
  const queue = new WorkQueue<string>({
    clock, random, reconcile,
    onError: (error, key) => {
      if (!isStoreError(error, 'closed')) log.warn('service addresses could not be noted', { key, error })
    },
  })
  const ranges = cache.named(rangeResource)
  const all = (): void => {
    for (const { name } of ranges?.list() ?? []) queue.add(`range ${name}`)
  }
  const addresses = (): void => queue.add('addresses')
  const release = [
    cache.named('services')?.listen(addresses),
    cache.named(addressResource)?.listen(() => {
      addresses()
      // A range that goes waits for its last address.
      for (const { name, object } of ranges?.list() ?? []) if (object.metadata.deletionTimestamp !== undefined) queue.add(`range ${name}`)
    }),
    ranges?.listen(({ entry, deleted }) => {
      if (!deleted) queue.add(`range ${entry.name}`)
    }),
  ]
  addresses()
  all()
  return () => {
    for (const one of release) one?.()
    void queue.stop()
  }
}

type Operation = { readonly kind: 'create'; readonly object: ApiObject } | { readonly kind: 'delete'; readonly name: string }

/** One object for each address that a Service has; those that we made and nobody has any more go. */
export function planAddresses(services: readonly Service[], have: readonly ApiObject[]): Operation[] {
  const want = new Map(services.flatMap((service) => (service.spec.clusterIPs ?? []).filter((address) => familyOf(address) !== undefined).map((address) => [address, service] as const)))
  const names = new Set(have.map(({ metadata }) => metadata.name))
  return [
    ...[...want].filter(([address]) => !names.has(address)).map(([address, service]): Operation => ({ kind: 'create', object: addressOf(address, service) })),
    ...have
      .filter(({ metadata }) => metadata.labels?.['ipaddress.kubernetes.io/managed-by'] === managedBy && !want.has(metadata.name ?? ''))
      .map(({ metadata }): Operation => ({ kind: 'delete', name: metadata.name ?? '' })),
  ]
}

function addressOf(address: string, { metadata }: Service): ApiObject {
  return {
    metadata: { name: address, labels: { 'ipaddress.kubernetes.io/ip-family': familyOf(address) ?? '', 'ipaddress.kubernetes.io/managed-by': managedBy } },
    spec: { parentRef: { group: '', resource: 'services', namespace: metadata.namespace ?? '', name: metadata.name ?? '' } },
  }
}

async function reconcileAddresses({ cache, registry, writer }: ServiceAddressesOptions): Promise<void> {
  const descriptor = registry.named(addressResource)
  if (descriptor === undefined) return
  const services = (cache.named('services')?.list() ?? []).map(({ object }) => object as unknown as Service)
  const operations = planAddresses(services, cache.of(descriptor).list().map(({ object }) => object))
  await Promise.all(operations.map((operation) => unlessDone(operation.kind === 'create' ? writer.create(descriptor, '', operation.object, { user: serverUser }) : writer.delete({ descriptor, namespace: '', name: operation.name }, {}, { user: serverUser }))))
}

/** Another server of the same cluster may have been faster. */
async function unlessDone(write: Promise<unknown>): Promise<void> {
  try {
    await write
  } catch (error) {
    if (!(error instanceof StatusError && (error.code === 404 || error.code === 409))) throw error
  }
}

function rangesOf(object: ApiObject): AddressRange[] {
  const cidrs = valueAt(object, '.spec.cidrs')
  return Array.isArray(cidrs) ? cidrs.map((cidr) => new AddressRange(String(cidr))) : []
}

/** Whether an address has no other range that it could be of. */
function isNeeded(address: string, of: ApiObject, others: readonly ApiObject[]): boolean {
  const holds = (object: ApiObject): boolean => rangesOf(object).some((range) => range.contains(address))
  return holds(of) && !others.some((other) => other.metadata.deletionTimestamp === undefined && holds(other))
}

/** Says that a range can be used, and lets one go that nobody needs. */
async function reconcileRange({ cache, registry, writer, clock }: ServiceAddressesOptions, name: string): Promise<void> {
  const descriptor = registry.named(rangeResource)
  const object = cache.named(rangeResource)?.get('', name)?.object
  if (descriptor === undefined || object === undefined) return
  const { finalizers = [] } = object.metadata
  const isGoing = object.metadata.deletionTimestamp !== undefined
  const others = (cache.named(rangeResource)?.list() ?? []).filter((entry) => entry.name !== name).map((entry) => entry.object)
  const isHeld = (cache.named(addressResource)?.list() ?? []).some((entry) => isNeeded(entry.name, object, others))
  const wanted = isGoing && !isHeld ? finalizers.filter((one) => one !== rangeFinalizer) : isGoing ? finalizers : [...new Set([...finalizers, rangeFinalizer])]
  const ready = isGoing
    ? { type: 'Ready', status: 'False', reason: 'Terminating', message: 'There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR' }
    : { type: 'Ready', status: 'True', reason: '', message: 'Kubernetes Service CIDR is ready' }
  const conditions = valueAt(object, '.status.conditions')
  const present = Array.isArray(conditions) ? conditions.filter(isRecord).find(({ type }) => type === 'Ready') : undefined
  const since = present?.['status'] === ready.status ? present['lastTransitionTime'] : timestamp(clock.now())
  const status = { conditions: [{ ...ready, lastTransitionTime: since }] }
  if (equalJson(wanted, finalizers) && equalJson(object['status'], status)) return
  const make = (current: ApiObject): ApiObject => ({ ...current, metadata: { ...current.metadata, finalizers: wanted }, status })
  await unlessDone(writer.update({ descriptor, namespace: '', name }, { part: 'other', make }, { user: serverUser }))
}
