// Where the service `kubernetes` leads: the addresses and ports of the servers, kept in its EndpointSlice as kube-apiserver does. Where several
// servers share a store, each says with a Lease that it is there, and all of them read who is (kube-apiserver's endpoint lease reconciler).
import { createHash } from 'node:crypto'
import { isIPv6 } from 'node:net'
import type { Clock, Timer } from '../../../api/clock.ts'
import type { Logger } from '../../../api/log.ts'
import type { WatchCache } from '../cache/index.ts'
import type { ResourceDescriptor } from '../descriptor.ts'
import { equalJson } from '../object.ts'
import type { ApiObject } from '../object.ts'
import type { Registry } from '../registry.ts'
import { StatusError } from '../status.ts'
import type { Writer } from '../write/writer.ts'
import { serverUser } from './objects.ts'

export interface KubernetesEndpointsOptions {
  readonly cache: WatchCache
  readonly writer: Writer
  readonly registry: Registry
  readonly clock: Clock
  readonly log: Logger
  readonly address: string
  readonly port: number
  /** Whether other servers may be at the same store. */
  readonly isShared: boolean
}

const namespace = 'default'
const name = 'kubernetes'
const identityLabel = { 'apiserver.kubernetes.io/identity': 'kube-apiserver' }
/** A server that has not been heard for so long is led to no more. */
const lifeMs = 15_000
const renewMs = 5000

/** Makes slice and endpoints of `default/kubernetes` say where the servers are, now and from then on; returns how to end that. */
export async function keepKubernetesEndpoints(options: KubernetesEndpointsOptions): Promise<() => void> {
  const { address, port, isShared, clock, log } = options
  if (!isShared) {
    await write(options, [{ address, port }])
    return () => undefined
  }
  let timer: Timer | undefined
  let isEnded = false
  const again = async (): Promise<void> => {
    try {
      await beat(options)
    } catch (error) {
      log.warn('cannot say that this API server is there, trying again', { error })
    }
    if (!isEnded) timer = clock.setTimeout(() => void again(), renewMs)
  }
  await beat(options)
  timer = clock.setTimeout(() => void again(), renewMs)
  return () => {
    isEnded = true
    timer?.cancel()
  }
}

/** Says that we are there, and that of the others who are. */
async function beat(options: KubernetesEndpointsOptions): Promise<void> {
  const { cache, writer, registry, clock, address, port } = options
  const own = isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`
  const leases = registry.named('leases.coordination.k8s.io')
  if (leases === undefined) return
  await put(writer, leases, {
    metadata: { name: `apiserver-${createHash('sha256').update(own).digest('hex').slice(0, 26)}`, namespace: 'kube-system', labels: identityLabel },
    spec: { holderIdentity: own, leaseDurationSeconds: lifeMs / 1000, renewTime: new Date(clock.now()).toISOString().replace('Z', '000Z') },
  })
  const alive = (cache.named('leases.coordination.k8s.io')?.list('kube-system') ?? []).map(({ object }) => object).filter((lease) => isServer(lease) && Date.parse(specOf(lease).renewTime ?? '') > clock.now() - lifeMs)
  const places = alive.map((lease) => placeOf(specOf(lease).holderIdentity ?? '')).filter((place) => place.address !== '')
  // Leases of the future or of the past are of servers whose clocks are wrong; that we are there is certain.
  if (!places.some((place) => place.address === address && place.port === port)) places.push({ address, port })
  await write(options, places)
}

function isServer({ metadata }: ApiObject): boolean {
  return metadata.labels?.['apiserver.kubernetes.io/identity'] === 'kube-apiserver'
}

function specOf(lease: ApiObject): { readonly holderIdentity?: string; readonly renewTime?: string } {
  return lease['spec'] ?? {}
}

interface Place {
  readonly address: string
  readonly port: number
}

function placeOf(identity: string): Place {
  const at = identity.lastIndexOf(':')
  return { address: identity.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(identity.slice(at + 1)) }
}

async function write({ writer, registry, port }: KubernetesEndpointsOptions, places: readonly Place[]): Promise<void> {
  const ports = [{ name: 'https', port, protocol: 'TCP' }]
  // A slice has one set of ports: servers that listen elsewhere than we do say so in turn.
  const addresses = places.filter((place) => place.port === port).map((place) => place.address).sort()
  const slice: ApiObject = {
    metadata: { name, namespace, labels: { 'kubernetes.io/service-name': name } },
    addressType: addresses[0]?.includes(':') === true ? 'IPv6' : 'IPv4',
    endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
    ports,
  }
  const endpoints: ApiObject = { metadata: { name, namespace, labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' } }, subsets: [{ addresses: addresses.map((ip) => ({ ip })), ports }] }
  for (const [resource, object] of [['endpointslices.discovery.k8s.io', slice], ['endpoints', endpoints]] as const) {
    const descriptor = registry.named(resource)
    if (descriptor !== undefined) await put(writer, descriptor, object)
  }
}

async function put(writer: Writer, descriptor: ResourceDescriptor, object: ApiObject): Promise<void> {
  const { metadata, ...content } = object
  const key = { descriptor, namespace: metadata.namespace ?? '', name: metadata.name ?? '' }
  const replace = (current: ApiObject): ApiObject => {
    const next = { ...current, ...structuredClone(content), metadata: { ...current.metadata, labels: { ...current.metadata.labels, ...metadata.labels } } }
    return equalJson(next, current) ? current : next
  }
  const by = { user: serverUser }
  try {
    await writer.update(key, { part: 'main', make: replace }, by)
  } catch (error) {
    if (!(error instanceof StatusError && error.code === 404)) throw error
    await writer.create(descriptor, key.namespace, structuredClone(object), by)
  }
}
