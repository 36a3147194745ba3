// Who has which cluster IP, as objects: an IPAddress for every address of a Service, and ServiceCIDRs that say whether they can be used
// (kube-apiserver's allocator and repair loop, kube-controller-manager's servicecidrs controller).
import type { Clock, Random } from '../../../api/clock.ts'
import type { Logger } from '../../../api/log.ts'
import type { Service } from '../../../api/types.ts'
import { WorkQueue } from '../../../api/work-queue.ts'
import { isStoreError } from '../../store/index.ts'
import type { Entry, WatchCache } from '../cache/index.ts'
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
/** Before the names of ranges among the keys; the others are addresses. */
const rangeKey = 'range '

/** Keeps the objects in step with the Services. Returns what stops it. */
export function startServiceAddresses(options: ServiceAddressesOptions): () => void {
  const { cache, clock, random, log } = options
  const owners = new Map<string, Service>()
  const queue = new WorkQueue<string>({
    clock, random,
    reconcile: (key) => (key.startsWith(rangeKey) ? reconcileRange(options, key.slice(rangeKey.length)) : reconcileAddress(options, key, owners.get(key))),
    onError: (error, key) => {
      if (!isStoreError(error, 'closed')) log.warn('service addresses could not be noted', { key, error })
    },
    concurrency: 32,
  })
  /** The addresses of a service belong to it until it is gone or has others. */
  const follow = (service: Service, isThere: boolean): void => {
    for (const address of addressesOf(service)) {
      if (isThere) owners.set(address, service)
      else if (owners.get(address)?.metadata.uid === service.metadata.uid) owners.delete(address)
      queue.add(address)
    }
  }
  const serviceOf = ({ object }: Entry): Service => object as unknown as Service
  const ranges = cache.named(rangeResource)
  const release = [
    cache.named('services')?.listen(({ entry, previous, deleted }) => {
      if (previous !== undefined && (deleted || !equalJson(addressesOf(serviceOf(previous)), addressesOf(serviceOf(entry))))) follow(serviceOf(previous), false)
      if (!deleted) follow(serviceOf(entry), true)
    }),
    cache.named(addressResource)?.listen(({ entry }) => {
      queue.add(entry.name)
      // A range that goes waits for its last address.
      for (const { name, object } of ranges?.list() ?? []) if (object.metadata.deletionTimestamp !== undefined) queue.add(rangeKey + name)
    }),
    ranges?.listen(({ entry, deleted }) => {
      if (!deleted) queue.add(rangeKey + entry.name)
    }),
  ]
  for (const entry of cache.named('services')?.list() ?? []) follow(serviceOf(entry), true)
  for (const { name } of cache.named(addressResource)?.list() ?? []) queue.add(name)
  for (const { name } of ranges?.list() ?? []) queue.add(rangeKey + name)
  return () => {
    for (const one of release) one?.()
    void queue.stop()
  }
}

function addressesOf({ spec }: Service): string[] {
  return (spec.clusterIPs ?? []).filter((address) => familyOf(address) !== undefined)
}

type Operation = { readonly kind: 'create'; readonly object: ApiObject } | { readonly kind: 'delete' }

/** An object for an address that a Service has. One that we made for somebody else, or for nobody any more, goes first. */
export function planAddress(address: string, owner: Service | undefined, have: ApiObject | undefined): Operation | undefined {
  if (have === undefined) return owner === undefined ? undefined : { kind: 'create', object: addressOf(address, owner) }
  if (have.metadata.labels?.['ipaddress.kubernetes.io/managed-by'] !== managedBy) return undefined
  const isRight = owner !== undefined && equalJson(valueAt(have, '.spec.parentRef'), valueAt(addressOf(address, owner), '.spec.parentRef'))
  return isRight ? undefined : { kind: 'delete' }
}

function addressOf(address: string, { metadata }: Service): ApiObject {
  return {
    metadata: { name: address, labels: { 'ipaddress.kubernetes.io/ip-family': familyOf(address) ?? '', 'ipaddress.kubernetes.io/managed-by': managedBy } },
    spec: { parentRef: { group: '', resource: 'services', namespace: metadata.namespace ?? '', name: metadata.name ?? '' } },
  }
}

async function reconcileAddress({ cache, registry, writer }: ServiceAddressesOptions, address: string, owner: Service | undefined): Promise<void> {
  const descriptor = registry.named(addressResource)
  if (descriptor === undefined) return
  const operation = planAddress(address, owner, cache.of(descriptor).get('', address)?.object)
  if (operation?.kind === 'create') await unlessDone(writer.create(descriptor, '', operation.object, { user: serverUser }))
  if (operation?.kind === 'delete') await unlessDone(writer.delete({ descriptor, namespace: '', name: address }, {}, { user: serverUser }))
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
