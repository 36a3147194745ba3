/**
 * Every name of the cluster. Kept are the objects; the names of a service are made of them when one is asked for, and again after a change, so that the
 * next question sees it and a burst of changes costs nothing. Only the names made last are kept: answers are kept rendered, in far fewer bytes.
 */
import type { EndpointSlice, Namespace, Pod, Service } from '../../api/types.ts'
import { addressBytes, addressRecord, addressText, nsRecord, ptrRecord, reverseName, soaRecord, txtRecord } from '../wire/index.ts'
import type { ResourceRecord } from '../wire/index.ts'
import { AddressBook } from './address-book.ts'
import { BuiltNames } from './built-names.ts'
import { everything } from './exposed.ts'
import type { Exposed } from './exposed.ts'
import { serviceNameLabel } from './kept.ts'
import { emptyNode, nodeOf } from './node.ts'
import type { Lookup, Node } from './node.ts'
import { hasReadyEndpoint, serviceNames } from './service-names.ts'
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
  /** Left out: everything. */
  readonly exposed?: Exposed | undefined
}

interface ServiceEntry {
  /** `namespace/name` */
  readonly key: string
  service: Service | undefined
  /** Most services have one. */
  slices: readonly EndpointSlice[]
  /** Until the service or one of its slices changes; made when something rests on it. */
  validity: Validity | undefined
}

/** The version of the specification, section 2.2. */
const schemaVersion = '1.1.0'

export class ClusterIndex {
  readonly #options: ClusterIndexOptions
  readonly #exposed: Exposed
  readonly #services = new Map<string, ServiceEntry>()
  readonly #servicesIn = new Map<string, number>()
  readonly #namespaces = new Set<string>()
  /** Pods' names by `namespace/address`. */
  readonly #pods = new Map<string, Set<string>>()
  readonly #built = new BuiltNames()
  readonly #addresses = new AddressBook()
  /** Until services, namespaces or pods appear or vanish: what names that do not exist rest on. */
  #existence = new Validity()
  /** Until any service or slice changes: what names of addresses rest on. */
  #reverse = new Validity()
  #serial: number

  constructor(options: ClusterIndexOptions) {
    this.#options = options
    this.#exposed = options.exposed ?? everything
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
    for (const address of clusterIPsOf(entry.service)) this.#addresses.remove(address, entry.key)
    for (const address of clusterIPsOf(next)) this.#addresses.add(address, entry.key)
    entry.service = next
    this.#changed(entry)
  }

  setSlice(old: EndpointSlice | undefined, next: EndpointSlice | undefined): void {
    for (const slice of [old, next]) {
      const service = slice?.metadata.labels?.[serviceNameLabel]
      if (slice === undefined || service === undefined) continue
      const entry = this.#entry(`${slice.metadata.namespace ?? ''}/${service}`)
      const known = entry.slices.find(({ metadata }) => metadata.name === slice.metadata.name)
      if (known !== undefined) {
        entry.slices = entry.slices.filter((other) => other !== known)
        for (const address of addressesOf(known)) this.#addresses.remove(address, entry.key)
      }
      if (slice === next) {
        entry.slices = [...entry.slices, slice]
        for (const address of addressesOf(slice)) this.#addresses.add(address, entry.key)
      }
      this.#changed(entry)
    }
  }

  setNamespace(old: Namespace | undefined, next: Namespace | undefined): void {
    const name = (next ?? old)?.metadata.name ?? ''
    if (this.#namespaces.has(name) === (next !== undefined)) return
    if (next === undefined) this.#namespaces.delete(name)
    else this.#namespaces.add(name)
    this.#endExistence()
    if (this.#isByNamespace) for (const entry of this.#services.values()) if (entry.key.startsWith(`${name}/`)) this.#changed(entry)
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
    const text = addressText(address)
    const names = new Set<string>()
    for (const key of this.#addresses.at(text)) {
      const entry = this.#services.get(key)
      if (entry?.service === undefined || (this.#isByNamespace && !this.#namespaces.has(namespaceOf(key)))) continue
      for (const name of this.#build(entry.service, entry).reverse.get(text) ?? []) names.add(name)
    }
    const owner = reverseName(address)
    const node = names.size === 0 ? undefined : nodeOf([...names].map((name) => ptrRecord(owner, this.#options.ttlSeconds, name)))
    return { node, validity: this.#reverse }
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
    if (this.#exposed.ignoreEmptyServices && entry.service.spec.type !== 'ExternalName' && !hasReadyEndpoint(entry.slices)) {
      entry.validity ??= new Validity()
      return { node: undefined, validity: entry.validity, why: `service ${service} in namespace ${namespace} has no ready endpoint` }
    }
    const why = names.nodes.size === 0 ? `service ${service} in namespace ${namespace} has no ready endpoint` : `service ${service} in namespace ${namespace} has no such port or endpoint`
    entry.validity ??= new Validity()
    return { node: names.nodes.get(labels.slice(0, -3).join('.')), validity: entry.validity, why }
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

  /** Whether it is the namespaces that decide what is there: those that have no names are not watched. */
  get #isByNamespace(): boolean {
    return this.#exposed.namespaceLabels !== ''
  }

  #hasNamespace(namespace: string): boolean {
    return this.#namespaces.has(namespace) || (!this.#isByNamespace && (this.#servicesIn.get(namespace) ?? 0) > 0)
  }

  #entry(key: string): ServiceEntry {
    const known = this.#services.get(key)
    if (known !== undefined) return known
    const entry: ServiceEntry = { key, service: undefined, slices: [], validity: undefined }
    this.#services.set(key, entry)
    return entry
  }

  #changed(entry: ServiceEntry): void {
    entry.validity?.end()
    entry.validity = undefined
    this.#built.drop(entry.key)
    this.#reverse.end()
    this.#reverse = new Validity()
    if (entry.service === undefined && entry.slices.length === 0) this.#services.delete(entry.key)
    this.#advanceSerial()
  }

  #build(service: Service, { key, slices }: ServiceEntry): ServiceNames {
    return this.#built.get(key, () => serviceNames(service, slices, this.#options))
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

function namespaceOf(key: string): string {
  return key.slice(0, key.indexOf('/'))
}

function keyOf(object: Service | undefined): string {
  return `${object?.metadata.namespace ?? ''}/${object?.metadata.name ?? ''}`
}

function clusterIPsOf(service: Service | undefined): readonly string[] {
  return service?.spec.clusterIPs ?? (service?.spec.clusterIP === undefined ? [] : [service.spec.clusterIP])
}

function addressesOf({ endpoints }: EndpointSlice): readonly string[] {
  return endpoints?.flatMap(({ addresses }) => addresses) ?? []
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
