// What Kubernetes adds to CEL (k8s.io/apiserver/pkg/cel/library) and the strings extension of cel-go that it turns on: functions for
// lists, patterns, quantities, URLs, addresses and text.
import { isIP } from 'node:net'
import type { Environment } from '@marcbachmann/cel-js'
import { Address4, Address6 } from 'ip-address'
import { formatBytes, isQuantity, parseQuantity } from '../../../api/quantity.ts'
import { patternOf } from '../pattern.ts'
import type { Pattern } from '../pattern.ts'
import { CelEnvironment, matchesMethod } from './environment.ts'
import { addFormats } from './formats.ts'
import { addMacros } from './macros.ts'

class Quantity {
  readonly value: number
  constructor(value: number) {
    this.value = value
  }
}

class Url {
  readonly url: URL
  constructor(url: URL) {
    this.url = url
  }
}

class Ip {
  readonly text: string
  readonly address: Address4 | Address6
  constructor(text: string) {
    this.text = text
    this.address = addressOf(text)
  }
}

class Cidr {
  readonly range: Address4 | Address6
  constructor(text: string) {
    if (!/\/\d+$/.test(text)) throw new Error(`network address parse error during conversion from string: ${JSON.stringify(text)}`)
    this.range = addressOf(text)
  }
}

function addressOf(text: string): Address4 | Address6 {
  const family = isIP(text.replace(/\/\d+$/, ''))
  if (family === 0) throw new Error(`IP Address ${JSON.stringify(text)} parse error during conversion from string`)
  return family === 4 ? new Address4(text) : new Address6(text)
}

/** The constant `jsonpatch`, for `jsonpatch.escapeKey`. */
class PatchFunctions {
  readonly name = 'jsonpatch'
}

/** The constant `ip`, for `ip.isCanonical`. */
class IpFunctions {
  readonly name = 'ip'
}

function isReadable(read: () => unknown): boolean {
  try {
    read()
    return true
  } catch {
    // To find that out is what was asked for.
    return false
  }
}

/** A new environment with the standard and Kubernetes' libraries. Its limits are those of what people write, not of what runs. */
export function kubernetesEnvironment(): Environment {
  const environment = new CelEnvironment({ enableOptionalTypes: true, homogeneousAggregateLiterals: false, limits: { maxAstNodes: 5000, maxDepth: 100 } })
  addLists(environment)
  addText(environment)
  addQuantities(environment)
  addUrls(environment)
  addAddresses(environment)
  addFormats(environment)
  addMacros(environment)
  return environment
}

type Number_ = number | bigint
type Item = string | number | bigint

function sum(list: readonly Number_[]): Number_ {
  return list.reduce((total, item) => (typeof total === 'bigint' && typeof item === 'bigint' ? total + item : Number(total) + Number(item)), 0n as Number_)
}

function extreme(list: readonly Item[], name: string, isBetter: (a: Item, b: Item) => boolean): Item {
  if (list.length === 0) throw new Error(`${name} called on empty list`)
  return list.reduce((best, item) => (isBetter(item, best) ? item : best))
}

function addLists(environment: Environment): void {
  environment
    .registerFunction('list.isSorted(): bool', (list: readonly Item[]) => list.every((item, i) => i === 0 || (list[i - 1] ?? item) <= item))
    .registerFunction('list.sum(): dyn', sum)
    .registerFunction('list.min(): dyn', (list: readonly Item[]) => extreme(list, 'min', (a, b) => a < b))
    .registerFunction('list.max(): dyn', (list: readonly Item[]) => extreme(list, 'max', (a, b) => a > b))
    .registerFunction('list.indexOf(dyn): int', (list: readonly unknown[], item: unknown) => BigInt(list.indexOf(item)))
    .registerFunction('list.lastIndexOf(dyn): int', (list: readonly unknown[], item: unknown) => BigInt(list.lastIndexOf(item)))
}

function readPattern(text: string): Pattern {
  const pattern = patternOf(text)
  if (pattern === undefined) throw new Error(`Illegal regex: ${text}`)
  return pattern
}

function findAll(text: string, pattern: string, limit = -1n): string[] {
  return readPattern(pattern).findAll(text, limit < 0n ? undefined : Number(limit))
}

const matches = (text: string, pattern: string): boolean => readPattern(pattern).test(text)

function replaceSome(text: string, from: string, to: string, count: bigint): string {
  let left = Number(count)
  return left < 0 ? text.replaceAll(from, () => to) : text.replaceAll(from, (match) => (left-- > 0 ? to : match))
}

function addText(environment: Environment): void {
  environment
    .registerFunction('matches(string, string): bool', matches)
    .registerFunction(`string.${matchesMethod}(string): bool`, matches)
    .registerFunction('string.find(string): string', (text: string, pattern: string) => findAll(text, pattern, 1n)[0] ?? '')
    .registerFunction('string.findAll(string): list<string>', (text: string, pattern: string) => findAll(text, pattern))
    .registerFunction('string.findAll(string, int): list<string>', findAll)
    .registerFunction('string.charAt(int): string', (text: string, at: bigint) => [...text][Number(at)] ?? '')
    .registerFunction('string.replace(string, string): string', (text: string, from: string, to: string) => replaceSome(text, from, to, -1n))
    .registerFunction('string.replace(string, string, int): string', replaceSome)
    .registerFunction('string.reverse(): string', (text: string) => [...text].toReversed().join(''))
    .registerFunction('string.format(list): string', format)
    .registerType('jsonpatch.Functions', { ctor: PatchFunctions, fields: {} })
    .registerConstant('jsonpatch', 'jsonpatch.Functions', new PatchFunctions())
    .registerFunction('jsonpatch.Functions.escapeKey(string): string', (_: PatchFunctions, key: string) => key.replaceAll('~', '~0').replaceAll('/', '~1'))
}

/** cel-go's `format`: %s, %d, %f, %e, %b, %x, %X, %o, %%. */
function format(text: string, values: readonly unknown[]): string {
  let next = 0
  return text.replaceAll(/%(?:%|(?:\.(\d+))?([a-zA-Z]))/g, (whole, digits: string | undefined, verb: string | undefined) => {
    if (verb === undefined) return '%'
    if (next >= values.length) throw new Error(`index ${next} out of range`)
    return formatOne(values[next++], verb, digits === undefined ? 6 : Number(digits), whole)
  })
}

const bases: Readonly<Record<string, number>> = { b: 2, o: 8, x: 16, X: 16 }

function formatOne(value: unknown, verb: string, digits: number, whole: string): string {
  const isNumber = typeof value === 'bigint' || typeof value === 'number'
  if (verb === 's') return shown(value)
  if (verb === 'd' && isNumber) return String(value)
  if ((verb === 'f' || verb === 'e') && isNumber) return verb === 'f' ? Number(value).toFixed(digits) : Number(value).toExponential(digits)
  const base = bases[verb]
  if (base === undefined) throw new Error(`could not parse formatting clause: unrecognized formatting clause ${JSON.stringify(whole)}`)
  const written = typeof value === 'string' ? Buffer.from(value).toString('hex') : typeof value === 'boolean' ? String(Number(value)) : isNumber ? BigInt(value).toString(base) : shown(value)
  return verb === 'X' ? written.toUpperCase() : written
}

/** A value as `%s` writes it. */
function shown(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(shown).join(', ')}]`
  if (value === null) return 'null'
  if (value instanceof Date) return value.toISOString().replace('.000Z', 'Z')
  if (value instanceof Quantity) return formatBytes(value.value)
  if (value instanceof Ip) return value.text
  if (value instanceof Map) return shown(Object.fromEntries(value))
  if (typeof value === 'object') return `{${Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, item]) => `${key}: ${shown(item)}`).join(', ')}}`
  return String(value)
}

function addQuantities(environment: Environment): void {
  const type = 'kubernetes.Quantity'
  const number = (one: Quantity | bigint): number => (one instanceof Quantity ? one.value : Number(one))
  environment
    .registerType(type, { ctor: Quantity, fields: {} })
    .registerOperator(`${type} == ${type}`, (a: Quantity, b: Quantity) => a.value === b.value)
    .registerFunction(`quantity(string): ${type}`, (text: string) => new Quantity(parseQuantity(text)))
    .registerFunction('isQuantity(string): bool', (text: string) => isQuantity(text))
    .registerFunction('compareQuantity(string, string): int', (a: string, b: string) => BigInt(Math.sign(parseQuantity(a) - parseQuantity(b))))
    .registerFunction(`${type}.sign(): int`, (a: Quantity) => BigInt(Math.sign(a.value)))
    .registerFunction(`${type}.isInteger(): bool`, (a: Quantity) => Number.isInteger(a.value))
    .registerFunction(`${type}.asInteger(): int`, (a: Quantity) => {
      if (!Number.isInteger(a.value)) throw new Error('cannot convert value to integer')
      return BigInt(a.value)
    })
    .registerFunction(`${type}.asApproximateFloat(): double`, (a: Quantity) => a.value)
    .registerFunction(`${type}.isGreaterThan(${type}): bool`, (a: Quantity, b: Quantity) => a.value > b.value)
    .registerFunction(`${type}.isLessThan(${type}): bool`, (a: Quantity, b: Quantity) => a.value < b.value)
    .registerFunction(`${type}.compareTo(${type}): int`, (a: Quantity, b: Quantity) => BigInt(Math.sign(a.value - b.value)))
  for (const other of [type, 'int']) {
    environment
      .registerFunction(`${type}.add(${other}): ${type}`, (a: Quantity, b: Quantity | bigint) => new Quantity(a.value + number(b)))
      .registerFunction(`${type}.sub(${other}): ${type}`, (a: Quantity, b: Quantity | bigint) => new Quantity(a.value - number(b)))
  }
}

function addUrls(environment: Environment): void {
  const type = 'kubernetes.URL'
  environment
    .registerType(type, { ctor: Url, fields: {} })
    .registerOperator(`${type} == ${type}`, (a: Url, b: Url) => a.url.href === b.url.href)
    .registerFunction(`url(string): ${type}`, (text: string) => new Url(new URL(text)))
    .registerFunction('isURL(string): bool', (text: string) => URL.canParse(text))
    .registerFunction(`${type}.getScheme(): string`, ({ url }: Url) => url.protocol.slice(0, -1))
    .registerFunction(`${type}.getHost(): string`, ({ url }: Url) => url.host)
    .registerFunction(`${type}.getHostname(): string`, ({ url }: Url) => url.hostname.replace(/^\[|\]$/g, ''))
    .registerFunction(`${type}.getPort(): string`, ({ url }: Url) => url.port)
    .registerFunction(`${type}.getEscapedPath(): string`, ({ url }: Url) => url.pathname)
    .registerFunction(`${type}.getQuery(): map`, ({ url }: Url) => Object.fromEntries([...new Set(url.searchParams.keys())].map((key) => [key, url.searchParams.getAll(key)])))
}

function family({ address }: Ip): bigint {
  return address instanceof Address4 ? 4n : 6n
}

function isIn(range: Address4 | Address6, address: Address4 | Address6): boolean {
  return range instanceof Address4 === address instanceof Address4 && address.isInSubnet(range)
}

function inAny({ address }: Ip, v4: readonly string[], v6: readonly string[]): boolean {
  return (address instanceof Address4 ? v4 : v6).some((range) => isIn(addressOf(range), address))
}

function addAddresses(environment: Environment): void {
  const ip = 'net.IP'
  const cidr = 'net.CIDR'
  environment
    .registerType(ip, { ctor: Ip, fields: {} })
    .registerType(cidr, { ctor: Cidr, fields: {} })
    .registerType('net.IPFunctions', { ctor: IpFunctions, fields: {} })
    .registerConstant('ip', 'net.IPFunctions', new IpFunctions())
    .registerFunction('net.IPFunctions.isCanonical(string): bool', (_: IpFunctions, text: string) => new Ip(text).address.correctForm() === text)
    .registerOperator(`${ip} == ${ip}`, (a: Ip, b: Ip) => a.address.correctForm() === b.address.correctForm())
    .registerOperator(`${cidr} == ${cidr}`, (a: Cidr, b: Cidr) => a.range.correctForm() === b.range.correctForm() && a.range.subnetMask === b.range.subnetMask)
    .registerFunction(`ip(string): ${ip}`, (text: string) => new Ip(text))
    .registerFunction('isIP(string): bool', (text: string) => isIP(text) !== 0)
    .registerFunction(`string(${ip}): string`, ({ text }: Ip) => text)
    .registerFunction(`${ip}.family(): int`, family)
    .registerFunction(`${ip}.isUnspecified(): bool`, (one: Ip) => inAny(one, ['0.0.0.0/32'], ['::/128']))
    .registerFunction(`${ip}.isLoopback(): bool`, (one: Ip) => inAny(one, ['127.0.0.0/8'], ['::1/128']))
    .registerFunction(`${ip}.isLinkLocalMulticast(): bool`, (one: Ip) => inAny(one, ['224.0.0.0/24'], ['ff02::/16']))
    .registerFunction(`${ip}.isLinkLocalUnicast(): bool`, (one: Ip) => inAny(one, ['169.254.0.0/16'], ['fe80::/10']))
    .registerFunction(`${ip}.isGlobalUnicast(): bool`, (one: Ip) => !inAny(one, ['0.0.0.0/32', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/4', '255.255.255.255/32'], ['::/128', '::1/128', 'fe80::/10', 'ff00::/8']))
    .registerFunction(`cidr(string): ${cidr}`, (text: string) => new Cidr(text))
    .registerFunction('isCIDR(string): bool', (text: string) => isReadable(() => new Cidr(text)))
    .registerFunction(`${cidr}.containsIP(string): bool`, ({ range }: Cidr, text: string) => isIn(range, new Ip(text).address))
    .registerFunction(`${cidr}.containsIP(${ip}): bool`, ({ range }: Cidr, { address }: Ip) => isIn(range, address))
    .registerFunction(`${cidr}.containsCIDR(string): bool`, ({ range }: Cidr, text: string) => isIn(range, new Cidr(text).range))
    .registerFunction(`${cidr}.containsCIDR(${cidr}): bool`, ({ range }: Cidr, other: Cidr) => isIn(range, other.range))
    .registerFunction(`${cidr}.ip(): ${ip}`, ({ range }: Cidr) => new Ip(range.addressMinusSuffix ?? ''))
    .registerFunction(`${cidr}.masked(): ${cidr}`, ({ range }: Cidr) => new Cidr(`${range.startAddress().correctForm()}/${range.subnetMask}`))
    .registerFunction(`${cidr}.prefixLength(): int`, ({ range }: Cidr) => BigInt(range.subnetMask))
}
