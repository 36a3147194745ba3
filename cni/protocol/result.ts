/** Results of ADD (CNI specification 1.1.0, section 5), in the newest form inside and in the configuration's version outside. */
import { canonicalAddress, parsePrefix } from '../../netlink/addresses.ts'
import { CniError } from './error.ts'
import { isAtLeast } from './version.ts'
import type { CniVersion } from './version.ts'

export type JsonObject = Readonly<Record<string, unknown>>

export interface ResultInterface {
  readonly name: string
  readonly mac?: string | undefined
  readonly mtu?: number | undefined
  /** Path of the container's namespace; none for links of the host. */
  readonly sandbox?: string | undefined
  readonly socketPath?: string | undefined
  readonly pciID?: string | undefined
}

export interface ResultAddress {
  /** With its prefix length. */
  readonly address: string
  readonly gateway?: string | undefined
  /** Index in `interfaces`. */
  readonly interface?: number | undefined
}

export interface ResultRoute {
  readonly dst: string
  readonly gw?: string | undefined
  readonly mtu?: number | undefined
  readonly advmss?: number | undefined
  readonly priority?: number | undefined
  readonly table?: number | undefined
  readonly scope?: number | undefined
}

export interface Dns {
  readonly nameservers?: readonly string[] | undefined
  readonly domain?: string | undefined
  readonly search?: readonly string[] | undefined
  readonly options?: readonly string[] | undefined
}

export interface Result {
  readonly interfaces: readonly ResultInterface[]
  readonly ips: readonly ResultAddress[]
  readonly routes: readonly ResultRoute[]
  readonly dns: Dns
}

/** The result as a version of the specification writes it: before 1.0 addresses had a family, before 1.1 links and routes had less. */
export function encodeResult(result: Result, cniVersion: CniVersion): JsonObject {
  const old = !isAtLeast(cniVersion, '1.0.0')
  const full = isAtLeast(cniVersion, '1.1.0')
  return {
    cniVersion,
    ...(result.interfaces.length === 0 ? {} : {
      interfaces: result.interfaces.map(({ name, mac, mtu, sandbox, socketPath, pciID }) => ({ name, mac, ...(full ? { mtu, socketPath, pciID } : {}), sandbox })),
    }),
    ips: result.ips.map((ip) => ({ ...(old ? { version: ip.address.includes(':') ? '6' : '4' } : {}), interface: ip.interface, address: ip.address, gateway: ip.gateway })),
    routes: result.routes.map((route) => (full ? route : { dst: route.dst, gw: route.gw })),
    dns: result.dns,
  }
}

const isObject = (value: unknown): value is JsonObject => typeof value === 'object' && value !== null && !Array.isArray(value)
const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)
const integer = (value: unknown): number | undefined => (Number.isInteger(value) ? (value as number) : undefined)

/** A list field that may be missing or null. Throws where it holds anything but objects. */
function objects(of: JsonObject, field: string, source: string): JsonObject[] {
  const value = of[field] ?? []
  if (!Array.isArray(value) || !value.every(isObject)) throw new CniError('invalidConfig', `Cannot use ${source}: ${field} is not a list of objects`)
  return value
}

/** Reads a result of any supported version: prevResult, or what another plugin answered. */
export function decodeResult(value: unknown, source: string): Result {
  if (!isObject(value)) throw new CniError('invalidConfig', `Cannot use ${source}: it is not an object`)
  return {
    interfaces: objects(value, 'interfaces', source).map((one) => ({
      name: text(one['name']) ?? '', mac: text(one['mac']), mtu: integer(one['mtu']), sandbox: text(one['sandbox']), socketPath: text(one['socketPath']), pciID: text(one['pciID']),
    })),
    ips: objects(value, 'ips', source).map((one) => {
      const address = text(one['address'])
      if (address === undefined) throw new CniError('invalidConfig', `Cannot use ${source}: an entry of ips has no address`)
      check(source, `address ${JSON.stringify(address)}`, () => parsePrefix(address))
      return { address, gateway: gatewayOf(one['gateway'], source), interface: integer(one['interface']) }
    }),
    routes: decodeRoutes(value, source),
    dns: decodeDns(value['dns'] ?? {}, source),
  }
}

function check(source: string, what: string, parse: () => unknown): void {
  try {
    parse()
  } catch (error) {
    throw new CniError('invalidConfig', `Cannot use ${source}: ${what}: ${(error as Error).message}`)
  }
}

function gatewayOf(value: unknown, source: string): string | undefined {
  const gateway = text(value)
  if (gateway === undefined || gateway === '') return undefined
  check(source, `gateway ${JSON.stringify(gateway)}`, () => canonicalAddress(gateway))
  return gateway
}

/** The `dns` of a result or of a configuration. */
export function decodeDns(value: unknown, source: string): Dns {
  const isTexts = (list: unknown): boolean => Array.isArray(list) && list.every((one) => typeof one === 'string')
  if (!isObject(value)) throw new CniError('invalidConfig', `Cannot use ${source}: dns is not an object`)
  const wrong = ['nameservers', 'search', 'options'].find((name) => !isTexts(value[name] ?? []))
  if (wrong !== undefined) throw new CniError('invalidConfig', `Cannot use ${source}: dns.${wrong} is not a list of text`)
  return value
}

/** The `routes` of a result or of an IPAM configuration. */
export function decodeRoutes(value: JsonObject, source: string): ResultRoute[] {
  return objects(value, 'routes', source).map((one) => {
    const dst = text(one['dst'])
    if (dst === undefined) throw new CniError('invalidConfig', `Cannot use ${source}: an entry of routes has no dst`)
    check(source, `route to ${JSON.stringify(dst)}`, () => parsePrefix(dst))
    return {
      dst, gw: gatewayOf(one['gw'], source), mtu: integer(one['mtu']), advmss: integer(one['advmss']), priority: integer(one['priority']), table: integer(one['table']), scope: integer(one['scope']),
    }
  })
}
