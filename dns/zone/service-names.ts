/**
 * The names of one service, from the service and its endpoint slices: a pure function (Kubernetes DNS specification 1.1.0, sections 2.3 to 2.5).
 * Where the specification leaves something open it is as in CoreDNS: weights, names of endpoints, SRV at the service's own name.
 */
import type { EndpointSlice, Service, ServicePort } from '../../api/types.ts'
import { TYPE, addressBytes, addressRecord, addressText, canonical, cnameRecord, labelsOf, srvRecord } from '../wire/index.ts'
import type { ResourceRecord } from '../wire/index.ts'
import { emptyNode, nodeOf } from './node.ts'
import type { Node } from './node.ts'

export interface ServiceNames {
  /** By what stands before the service's name: nothing, `_http._tcp`, `_tcp`, or an endpoint's host name. */
  readonly nodes: ReadonlyMap<string, Node>
  /** Names for the addresses (text), for the reverse zones. */
  readonly reverse: ReadonlyMap<string, readonly string[]>
}

export interface NamesContext {
  /** Canonical. */
  readonly zone: string
  readonly ttlSeconds: number
}

/** An endpoint of a service that is to be named. */
interface NamedEndpoint {
  /** The host label: the pod's hostname, or its address with dashes. */
  readonly host: string
  readonly addresses: Uint8Array[]
}

interface Target {
  readonly port: number
  readonly target: string
}

/** SRV weights are shares of 100, as in CoreDNS. */
const weightTotal = 100

/** All names of a service. */
export function serviceNames(service: Service, slices: readonly EndpointSlice[], context: NamesContext): ServiceNames {
  const { namespace = '', name = '' } = service.metadata
  const apex = `${name}.${namespace}.svc.${context.zone}`.toLowerCase()
  const names = new Builder(apex, context.ttlSeconds)
  if (service.spec.type === 'ExternalName') names.external(service.spec.externalName ?? '')
  else if (isHeadless(service)) names.headless(slices)
  else names.clusterIP(service, slices)
  return { nodes: names.nodes, reverse: names.reverse }
}

/** Whether a service has no address of its own, by its own wish. */
function isHeadless({ spec }: Service): boolean {
  return spec.type !== 'ExternalName' && spec.clusterIP === 'None'
}

class Builder {
  readonly nodes = new Map<string, Node>()
  readonly reverse = new Map<string, string[]>()
  readonly #apex: string
  readonly #ttl: number

  constructor(apex: string, ttl: number) {
    this.#apex = apex
    this.#ttl = ttl
  }

  external(target: string): void {
    this.#put('', isName(target) ? nodeOf([cnameRecord(this.#apex, this.#ttl, canonical(target))]) : emptyNode)
  }

  clusterIP({ spec }: Service, slices: readonly EndpointSlice[]): void {
    const addresses = (spec.clusterIPs ?? [spec.clusterIP ?? '']).flatMap((text) => addressBytes(text) ?? [])
    const glue = addresses.map((address) => addressRecord(this.#apex, this.#ttl, address))
    const target = (port: number): Target[] => (glue.length === 0 ? [] : [{ port, target: this.#apex }])
    const ports = spec.ports ?? []
    this.#put('', this.#nodeWithSrv(this.#apex, glue, ports.flatMap(({ port }) => target(port)), glue))
    for (const port of ports) this.#putPort(port, target(port.port), glue)
    for (const address of addresses) this.#putReverse(address, this.#apex)
    this.#endpoints(namedEndpoints(slices))
  }

  /** Without a ready endpoint nothing exists (specification 2.4.1). */
  headless(slices: readonly EndpointSlice[]): void {
    const endpoints = namedEndpoints(slices)
    if (endpoints.length === 0) return
    const own = distinct(endpoints.flatMap(({ addresses }) => addresses)).map((address) => addressRecord(this.#apex, this.#ttl, address))
    const glue = this.#endpoints(endpoints)
    const ports = new Map<string, { readonly port: { name?: string; protocol?: ServicePort['protocol'] }; readonly targets: Target[] }>()
    for (const slice of slices) {
      const hosts = namedEndpoints([slice]).map(({ host }) => this.#name(host)).filter(isName)
      for (const { name, protocol = 'TCP', port } of slice.ports ?? []) {
        if (port === undefined || port === null) continue
        const key = `${name ?? ''}/${protocol}`
        const entry = ports.get(key) ?? { port: { name: name ?? '', protocol }, targets: [] }
        ports.set(key, entry)
        // A dual-stack service has a slice per family with the same hosts.
        for (const target of hosts) if (!entry.targets.some((known) => known.port === port && known.target === target)) entry.targets.push({ port, target })
      }
    }
    this.#put('', this.#nodeWithSrv(this.#apex, own, [...ports.values()].flatMap(({ targets }) => targets), glue))
    for (const { port, targets } of ports.values()) this.#putPort(port, targets, glue)
  }

  /** Names each endpoint below the service; their address records. */
  #endpoints(endpoints: readonly NamedEndpoint[]): ResourceRecord[] {
    return endpoints.flatMap(({ host, addresses }) => {
      const name = this.#name(host)
      if (!isName(name)) return []
      const records = addresses.map((address) => addressRecord(name, this.#ttl, address))
      this.#put(host, nodeOf(records))
      for (const address of addresses) this.#putReverse(address, name)
      return records
    })
  }

  #putPort({ name = '', protocol = 'TCP' }: { name?: string; protocol?: ServicePort['protocol'] }, targets: readonly Target[], glue: readonly ResourceRecord[]): void {
    // Ports without a name have no SRV record of their own.
    if (name === '' || targets.length === 0) return
    const parent = `_${protocol.toLowerCase()}`
    const relative = `_${name.toLowerCase()}.${parent}`
    if (!this.nodes.has(parent)) this.#put(parent, emptyNode)
    this.#put(relative, this.#nodeWithSrv(this.#name(relative), [], targets, glue))
  }

  #nodeWithSrv(owner: string, records: readonly ResourceRecord[], all: readonly Target[], glue: readonly ResourceRecord[]): Node {
    // Ports that differ in name or protocol alone are one record at the service's own name: a set has no record twice (RFC 2181 section 5).
    const targets = [...new Map(all.map((target) => [`${target.port} ${target.target}`, target])).values()]
    const weight = Math.max(1, Math.floor(weightTotal / Math.max(1, targets.length)))
    const srv = targets.map(({ port, target }) => srvRecord(owner, this.#ttl, { priority: 0, weight, port, target }))
    return srv.length === 0 ? nodeOf(records) : nodeOf([...records, ...srv], glue)
  }

  #put(relative: string, node: Node): void {
    if (isName(this.#name(relative))) this.nodes.set(relative, node)
  }

  #putReverse(address: Uint8Array, name: string): void {
    const key = addressText(address)
    const names = this.reverse.get(key) ?? []
    if (isName(name) && !names.includes(name)) this.reverse.set(key, [...names, name])
  }

  #name(relative: string): string {
    return relative === '' ? this.#apex : `${relative}.${this.#apex}`
  }
}

/** Whether a service has an endpoint that is to be named. */
export function hasReadyEndpoint(slices: readonly EndpointSlice[]): boolean {
  return namedEndpoints(slices).length > 0
}

/** Ready endpoints by host name. An unset `ready` counts as ready; slices of services that publish unready addresses say ready themselves. */
function namedEndpoints(slices: readonly EndpointSlice[]): NamedEndpoint[] {
  const byHost = new Map<string, NamedEndpoint>()
  for (const { addressType, endpoints } of slices) {
    if (addressType === 'FQDN') continue
    for (const { addresses, conditions, hostname } of endpoints ?? []) {
      if (conditions?.ready === false) continue
      for (const address of addresses.flatMap((text) => addressBytes(text) ?? [])) {
        const host = hostLabel(hostname, address)
        const known = byHost.get(host)
        if (known === undefined) byHost.set(host, { host, addresses: [address] })
        else if (distinct([...known.addresses, address]).length > known.addresses.length) known.addresses.push(address)
      }
    }
  }
  return [...byHost.values()]
}

function hostLabel(hostname: string | undefined, address: Uint8Array): string {
  const lower = hostname?.toLowerCase() ?? ''
  if (/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(lower)) return lower
  return addressText(address).replace(/[.:]/g, '-')
}

function distinct(addresses: readonly Uint8Array[]): Uint8Array[] {
  return [...new Map(addresses.map((address) => [address.join(), address])).values()]
}

/** Whether it can be written into a message. */
function isName(name: string): boolean {
  try {
    return labelsOf(canonical(name)).length > 0
  } catch {
    return false
  }
}

/** Whether a node is an alias. */
export function aliasOf({ records }: Node): ResourceRecord | undefined {
  return records.get(TYPE.CNAME)?.[0]
}
