/**
 * Every name of the cluster. Parts of it are immutable and replaced whole: a change of a service or slice drops that service's
 * names, which are built again when first asked for, so that the next question sees the change and a burst of changes costs one build.
 */
import type { EndpointSlice, Namespace, Pod, Service } from '../../api/types.ts'
import { addressBytes, addressRecord, addressText, nsRecord, ptrRecord, reverseName, soaRecord, txtRecord } from '../wire/index.ts'
import type { ResourceRecord } from '../wire/index.ts'
import { serviceNameLabel } from './kept.ts'
import { emptyNode, nodeOf } from './node.ts'
import type { Lookup, Node } from './node.ts'
import { serviceNames } from './service-names.ts'
import type { ServiceNames } from './service-names.ts'
import { Validity } from './validity.ts'

export type PodMode = 'disabled' | 'insecure' | 'verified'

export interface ClusterIndexOptions {
  /** Canonical: `cluster.local.` */
  readonly zone: string
  readonly pods: PodMode
  readonly ttlSeconds: number
  readonly negativeTtlSeconds: number
  /** The addresses of this server, which stand at the name server's name. */
  readonly serverAddresses: readonly Uint8Array[]
  /** Milliseconds since the epoch; the SOA serial is the second of the last change. */
  readonly now: () => number
}

interface ServiceEntry {
  service: Service | undefined
  readonly slices: Map<string, EndpointSlice>
  /** Undefined: to be built. */
  names: ServiceNames | undefined
}

/** The version of the specification, section 2.2. */
const schemaVersion = '1.1.0'

export class ClusterIndex {
  readonly #options: ClusterIndexOptions
  readonly #services = new Map<string, ServiceEntry>()
  readonly #servicesIn = new Map<string, number>()
  readonly #namespaces = new Set<string>()
  /** Pods' names by `namespace/address`. */
  readonly #pods = new Map<string, Set<string>>()
  /** Which services name an address; filled for the services in `#reversed`. */
  readonly #reverse = new Map<string, Map<string, readonly string[]>>()
  readonly #unreversed = new Set<string>()
  readonly #reversed = new Map<string, ServiceNames>()
  /** Until services, namespaces or pods appear or vanish: what names that do not exist rest on. */
  #existence = new Validity()
  #addresses = new Validity()
  #serial: number

  constructor(options: ClusterIndexOptions) {
    this.#options = options
    this.#serial = Math.floor(options.now() / 1000) % 2 ** 32
  }

  get zone(): string {
    return this.#options.zone
  }

  get serviceCount(): number {
    return this.#services.size
  }

  setService(old: Service | undefined, next: Service | undefined): void {
    const key = keyOf(next ?? old)
    const { namespace = '' } = (next ?? old)?.metadata ?? {}
    const entry = this.#entry(key)
    if ((entry.service === undefined) !== (next === undefined)) {
      this.#servicesIn.set(namespace, (this.#servicesIn.get(namespace) ?? 0) + (next === undefined ? -1 : 1))
      this.#endExistence()
    }
    entry.service = next
    this.#changed(key, entry)
  }

  setSlice(old: EndpointSlice | undefined, next: EndpointSlice | undefined): void {
    for (const slice of [old, next]) {
      const service = slice?.metadata.labels?.[serviceNameLabel]
      if (slice === undefined || service === undefined) continue
      const key = `${slice.metadata.namespace ?? ''}/${service}`
      const entry = this.#entry(key)
      if (slice === next) entry.slices.set(slice.metadata.name ?? '', slice)
      else entry.slices.delete(slice.metadata.name ?? '')
      this.#changed(key, entry)
    }
  }

  setNamespace(old: Namespace | undefined, next: Namespace | undefined): void {
    const name = (next ?? old)?.metadata.name ?? ''
    if (this.#namespaces.has(name) === (next !== undefined)) return
    if (next === undefined) this.#namespaces.delete(name)
    else this.#namespaces.add(name)
    this.#endExistence()
  }

  setPod(old: Pod | undefined, next: Pod | undefined): void {
    const before = podKeys(old)
    const after = podKeys(next)
    if (before.join() === after.join() && old !== undefined && next !== undefined) return
    const name = (next ?? old)?.metadata.name ?? ''
    for (const key of before) {
      const names = this.#pods.get(key)
      names?.delete(name)
      if (names?.size === 0) this.#pods.delete(key)
    }
    for (const key of after) this.#pods.set(key, (this.#pods.get(key) ?? new Set()).add(name))
    this.#endExistence()
  }

  /** Looks up a canonical name in the zone. */
  lookup(name: string): Lookup {
    const { zone } = this.#options
    const labels = name === zone ? [] : name.slice(0, -zone.length - 1).split('.')
    // An escaped dot is in no name of ours.
    if (name.includes('\\')) return { node: undefined, validity: undefined }
    switch (labels.at(-1)) {
      case undefined: return { node: this.#apex(), validity: undefined }
      case 'svc': return this.#service(labels)
      case 'pod': return this.#options.pods === 'disabled' ? { node: undefined, validity: undefined, why: 'pods have no names here' } : this.#pod(labels)
      case 'dns-version': return { node: labels.length === 1 ? nodeOf([txtRecord(name, this.#options.ttlSeconds, schemaVersion)]) : undefined, validity: undefined }
      case 'dns': return { node: this.#server(name, labels), validity: undefined }
      default: return { node: undefined, validity: undefined }
    }
  }

  /** The names of an address; a node of PTR records. */
  lookupAddress(address: Uint8Array): Lookup {
    this.#buildReverse()
    const names = [...(this.#reverse.get(addressText(address))?.values() ?? [])].flat()
    const owner = reverseName(address)
    const node = names.length === 0 ? undefined : nodeOf([...new Set(names)].map((name) => ptrRecord(owner, this.#options.ttlSeconds, name)))
    return { node, validity: this.#addresses }
  }

  /** The zone's SOA record, as an answer or (with the negative TTL, RFC 2308) beside a negative one. */
  soa(negative: boolean): ResourceRecord {
    const { zone, ttlSeconds, negativeTtlSeconds } = this.#options
    const data = { server: `ns.dns.${zone}`, contact: `hostmaster.${zone}`, serial: this.#serial, minimumSeconds: negativeTtlSeconds }
    return soaRecord(zone, negative ? negativeTtlSeconds : ttlSeconds, data)
  }

  #apex(): Node {
    const { zone, ttlSeconds } = this.#options
    const server = `ns.dns.${zone}`
    return nodeOf([this.soa(false), nsRecord(zone, ttlSeconds, server)], this.#serverRecords(server))
  }

  #server(name: string, labels: readonly string[]): Node | undefined {
    if (labels.length === 1) return emptyNode
    return labels.length === 2 && labels[0] === 'ns' ? nodeOf(this.#serverRecords(name)) : undefined
  }

  #serverRecords(name: string): ResourceRecord[] {
    return this.#options.serverAddresses.map((address) => addressRecord(name, this.#options.ttlSeconds, address))
  }

  /** `labels` are those before the zone: `[…, service, namespace, 'svc']`. */
  #service(labels: readonly string[]): Lookup {
    const validity = this.#existence
    const namespace = labels.at(-2)
    if (namespace === undefined) return { node: emptyNode, validity }
    if (!this.#hasNamespace(namespace)) return { node: undefined, validity, why: `there is no namespace ${namespace}` }
    const service = labels.at(-3)
    if (service === undefined) return { node: emptyNode, validity }
    const key = `${namespace}/${service}`
    const entry = this.#services.get(key)
    if (entry?.service === undefined) return { node: undefined, validity, why: `there is no service ${service} in namespace ${namespace}` }
    const names = this.#build(entry.service, entry)
    const why = names.nodes.size === 0 ? `service ${service} in namespace ${namespace} has no ready endpoint` : `service ${service} in namespace ${namespace} has no such port or endpoint`
    return { node: names.nodes.get(labels.slice(0, -3).join('.')), validity: names.validity, why }
  }

  #pod(labels: readonly string[]): Lookup {
    const validity = this.#existence
    const [host = ''] = labels
    const namespace = labels.at(-2)
    if (namespace === undefined) return { node: emptyNode, validity }
    if (!this.#hasNamespace(namespace)) return { node: undefined, validity, why: `there is no namespace ${namespace}` }
    if (labels.length > 3) return { node: undefined, validity, why: 'nothing stands below the name of a pod' }
    if (labels.length === 2) return { node: emptyNode, validity }
    const address = addressBytes(/^\d+-\d+-\d+-\d+$/.test(host) ? host.replaceAll('-', '.') : host.replaceAll('-', ':'))
    if (address === undefined) return { node: undefined, validity, why: 'the name of a pod is its address, with dashes' }
    if (this.#options.pods === 'verified' && !this.#pods.has(`${namespace}/${addressText(address)}`)) return { node: undefined, validity, why: `no pod in namespace ${namespace} has this address` }
    return { node: nodeOf([addressRecord(`${labels.join('.')}.${this.#options.zone}`, this.#options.ttlSeconds, address)]), validity }
  }

  #hasNamespace(namespace: string): boolean {
    return this.#namespaces.has(namespace) || (this.#servicesIn.get(namespace) ?? 0) > 0
  }

  #entry(key: string): ServiceEntry {
    const known = this.#services.get(key)
    if (known !== undefined) return known
    const entry: ServiceEntry = { service: undefined, slices: new Map(), names: undefined }
    this.#services.set(key, entry)
    return entry
  }

  #changed(key: string, entry: ServiceEntry): void {
    entry.names?.validity.end()
    entry.names = undefined
    this.#unreversed.add(key)
    this.#addresses.end()
    this.#addresses = new Validity()
    if (entry.service === undefined && entry.slices.size === 0) this.#services.delete(key)
    this.#advanceSerial()
  }

  #build(service: Service, entry: ServiceEntry): ServiceNames {
    entry.names ??= serviceNames(service, [...entry.slices.values()], this.#options)
    return entry.names
  }

  /** Brings the reverse index up to date with the services that changed since it was last asked. */
  #buildReverse(): void {
    for (const key of this.#unreversed) {
      for (const address of this.#reversed.get(key)?.reverse.keys() ?? []) {
        const byService = this.#reverse.get(address)
        byService?.delete(key)
        if (byService?.size === 0) this.#reverse.delete(address)
      }
      this.#reversed.delete(key)
      const entry = this.#services.get(key)
      if (entry?.service === undefined) continue
      const names = this.#build(entry.service, entry)
      this.#reversed.set(key, names)
      for (const [address, targets] of names.reverse) this.#reverse.set(address, (this.#reverse.get(address) ?? new Map<string, readonly string[]>()).set(key, targets))
    }
    this.#unreversed.clear()
  }

  #endExistence(): void {
    this.#existence.end()
    this.#existence = new Validity()
    this.#advanceSerial()
  }

  /** Serials only grow (RFC 1982), whatever the clock does. */
  #advanceSerial(): void {
    this.#serial = Math.max(this.#serial, Math.floor(this.#options.now() / 1000) % 2 ** 32)
  }
}

function keyOf(object: Service | undefined): string {
  return `${object?.metadata.namespace ?? ''}/${object?.metadata.name ?? ''}`
}

/** A pod that has ended no longer owns its addresses. */
function podKeys(pod: Pod | undefined): string[] {
  const { phase, podIP, podIPs } = pod?.status ?? {}
  if (pod === undefined || phase === 'Succeeded' || phase === 'Failed') return []
  const addresses = podIPs?.map(({ ip }) => ip) ?? (podIP === undefined ? [] : [podIP])
  return addresses.flatMap((ip) => {
    const bytes = addressBytes(ip)
    return bytes === undefined ? [] : [`${pod.metadata.namespace ?? ''}/${addressText(bytes)}`]
  })
}
