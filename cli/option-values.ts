/** Values of flags, checked where they are read: a wrong one is refused with the flag's own words. */
import { isIP } from 'node:net'
import { InvalidArgumentError } from 'commander'
import type { Backend } from '../cni/index.ts'

/** A parser of whole numbers within bounds. */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (!/^\d+$/.test(text) || value < least || value > most) throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`)
    return value
  }
}

export const port = wholeNumber(0, 65_535)

const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const

/** `40s`, `5m`, `1m30s` to milliseconds: Go's durations, as Kubernetes' flags take them. */
export function durationMs(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)]
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== text) throw new InvalidArgumentError("It must be a duration such as '40s' or '5m'.")
  return parts.reduce((sum, [, number, unit]) => sum + Number(number) * unitMs[unit as keyof typeof unitMs], 0)
}

const overlays: readonly string[] = ['vxlan', 'host-gw', 'direct', 'wireguard'] satisfies Backend[]

/** How pods of different hosts reach each other. */
export function overlay(text: string): Backend {
  if (!overlays.includes(text)) throw new InvalidArgumentError('It is one of vxlan, host-gw, direct, wireguard.')
  return text as Backend
}

export function address(text: string): string {
  if (isIP(text) === 0) throw new InvalidArgumentError('It must be an IP address.')
  return text
}

/** `10.96.0.0/12` */
export function cidr(text: string): string {
  const [base = '', length = ''] = text.split('/')
  const family = isIP(base)
  if (family === 0 || !/^\d+$/.test(length) || Number(length) > (family === 4 ? 32 : 128)) throw new InvalidArgumentError("It must be a range such as '10.96.0.0/12'.")
  return text
}

/** A range, or `primary`: the node's own addresses. */
export function cidrOrPrimary(text: string): string {
  return text === 'primary' ? text : cidr(text)
}

export interface HostPort {
  readonly address: string
  readonly port: number
}

/** `127.0.0.1:53`, `[::1]:53` */
export function addressAndPort(text: string): HostPort {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(text)
  const host = match?.[1] ?? match?.[2] ?? ''
  if (isIP(host) === 0 || Number(match?.[3]) > 65_535) throw new InvalidArgumentError("It must be an address and a port, such as '127.0.0.1:53'.")
  return { address: host, port: Number(match?.[3]) }
}

/** Several of one flag, each time it is given or with commas between. The first that is given takes the place of the default. */
export function collect<T>(parse: (text: string) => T): (text: string) => readonly T[] {
  const one = repeat(parse)
  return (text) => text.split(',').map(one).at(-1) ?? []
}

/** The same for values that may have commas themselves. */
export function repeat<T>(parse: (text: string) => T): (text: string) => readonly T[] {
  const values: T[] = []
  return (text) => {
    values.push(parse(text))
    return values
  }
}

/** One value, or one of each IP family with a comma between. */
export function ofEachFamily(parse: (text: string) => string): (text: string) => string {
  return (text) => {
    const values = text.split(',').map(parse)
    if (values.length > 2 || (values.length === 2 && values[0]?.includes(':') === values[1]?.includes(':'))) throw new InvalidArgumentError('It must be one, or one of each IP family with a comma between.')
    return values.join(',')
  }
}

/** `30000-32767` */
export function portRange(text: string): string {
  const match = /^(\d+)-(\d+)$/.exec(text)
  const [from, to] = [Number(match?.[1]), Number(match?.[2])]
  if (match === null || from < 1 || to > 65_535 || from > to) throw new InvalidArgumentError("It must be a range of ports such as '30000-32767'.")
  return text
}
