/**
 * Which pod ranges of the Nodes are followed. A host registers itself, and may so say that it has pods which are others': a range that is taken, or that holds the address of
 * a host. Followed blindly, two that say the same take the route from each other for ever, and one that says 0.0.0.0/0 gets everything. Pure.
 */
import { parsePrefix } from '../../netlink/addresses.ts'
import { addressNumber } from '../ipam/ranges.ts'
import { familyOf } from './want.ts'
import type { Host } from './want.ts'

export interface Claims {
  /** With the ranges that are theirs. */
  readonly peers: readonly Host[]
  readonly problems: readonly string[]
}

/** First come, first served: this host itself, then by the age of the Nodes, which nobody can choose for himself. */
export function settleClaims(own: Host, others: readonly Host[]): Claims {
  const taken = claimsOf(own, own.podCIDRs)
  const problems: string[] = []
  const peers = others.toSorted(byAge).map((host) => {
    const podCIDRs = host.podCIDRs.filter((range) => {
      const other = taken.find(({ prefix }) => overlap(prefix, range))
      if (other !== undefined) problems.push(`node ${host.name} has pods ${range}, but ${other.prefix} is node ${other.name}'s`)
      return other === undefined
    })
    taken.push(...claimsOf(host, podCIDRs))
    return { ...host, podCIDRs }
  })
  return { peers, problems }
}

function byAge(a: Host, b: Host): number {
  return (a.created ?? '').localeCompare(b.created ?? '') || a.name.localeCompare(b.name)
}

function claimsOf({ name, addresses }: Host, ranges: readonly string[]): { readonly name: string; readonly prefix: string }[] {
  const own = Object.values(addresses).map((address) => `${address}/${familyOf(address) === 'ipv4' ? 32 : 128}`)
  return [...own, ...ranges].map((prefix) => ({ name, prefix }))
}

function overlap(one: string, other: string): boolean {
  const [a, b] = [parsePrefix(one), parsePrefix(other)]
  const family = familyOf(a.address)
  if (family !== familyOf(b.address)) return false
  const shift = BigInt((family === 'ipv4' ? 32 : 128) - Math.min(a.prefixLength, b.prefixLength))
  return addressNumber(a.address) >> shift === addressNumber(b.address) >> shift
}
