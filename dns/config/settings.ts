/** What can be set while the server runs, and how values are written. */
import type { StubZone } from '../forward/outside.ts'
import { parseResolvConf, parseUpstream } from '../forward/resolv-conf.ts'
import type { Upstream } from '../forward/upstream.ts'
import { canonical } from '../wire/index.ts'
import type { PodMode } from '../zone/cluster-index.ts'
import type { Exposed } from '../zone/exposed.ts'

export interface Settings {
  /** Canonical. */
  readonly zone: string
  readonly pods: PodMode
  readonly ttlSeconds: number
  readonly upstreams: readonly Upstream[]
  readonly stubs: readonly StubZone[]
  readonly exposed: Exposed
  /** With search on the server's side, the search domains of the hosts. */
  readonly autopath: { readonly hostDomains: readonly string[] } | undefined
  /** Answers a second for each client; 0: no limit. */
  readonly rateLimit: number
  /** One line for so many questions; 0: none. */
  readonly queryLogEvery: number
}

export interface Read {
  readonly settings: Settings
  /** What was asked for and makes no difference here. */
  readonly notes: readonly string[]
}

export interface ReadOptions {
  /** What holds for keys that are not there: the flags. */
  readonly base: Settings
  readonly readFile: (path: string) => string
}

const podModes: readonly string[] = ['disabled', 'insecure', 'verified'] satisfies PodMode[]

/** An address, or a file of resolv.conf(5). */
export function upstreamsOf(text: string, readFile: (path: string) => string): Upstream[] {
  if (!text.startsWith('/')) return [parseUpstream(text)]
  const found = parseResolvConf(readFile(text))
  if (found.length === 0) throw new Error(`Cannot read the configuration: ${text} names no server`)
  return found
}

export function zoneOf(text: string): string {
  if (!/^[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?$/i.test(text)) throw new Error(`Cannot read the configuration: ${JSON.stringify(text)} is no zone, such as cluster.local`)
  return canonical(text)
}

/** A label selector, as `kubectl -l` takes it. */
export function selectorOf(text: string): string {
  const key = '[a-z0-9]([-a-z0-9._/]*[a-z0-9])?'
  // Each way to read a value is the only one: with several, a long list that ends badly would be tried in all of them.
  const value = '([a-z0-9]([-a-z0-9._]*[a-z0-9])?)?'
  const term = `\\s*(!?${key}|${key}\\s*(=|==|!=)\\s*${value}|${key}\\s+(in|notin)\\s*\\(\\s*${value}(\\s*,\\s*${value})*\\s*\\))\\s*`
  if (!new RegExp(`^${term}(,${term})*$`, 'i').test(text)) throw new Error(`Cannot read the configuration: ${JSON.stringify(text)} is no label selector, such as app=web,tier in (a,b)`)
  return text
}

export function podModeOf(text: string): PodMode {
  if (!podModes.includes(text)) throw new Error(`Cannot read the configuration: pods are ${podModes.join(', ')}, not ${JSON.stringify(text)}`)
  return text as PodMode
}

export function numberOf(key: string, text: string, most: number): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || value > most) throw new Error(`Cannot read the configuration: ${key} must be a whole number up to ${most}, not ${JSON.stringify(text)}`)
  return value
}
