/** What the policies in a kernel say to the first packet of a connection. Reads the table as the kernel lists it. Pure. */
import type { NamedSet, Ruleset, Statement } from '../../netlink/nftables/index.ts'
import { isWithinRange } from './address-set.ts'
import type { Direction } from './want.ts'

export interface PolicyPacket {
  readonly source: string
  /** After translation: that of a pod, not of a service. */
  readonly destination: string
  readonly protocol: 'tcp' | 'udp' | 'sctp'
  readonly port: number
}

/** Whether the pod at this end is isolated in a direction, by which chain, and whether that lets the packet pass; undefined: it is not isolated. */
export function policyFate(ruleset: Ruleset, direction: Direction, packet: PolicyPacket): { readonly chain: string; readonly passes: boolean } | undefined {
  const { source, destination } = packet
  const own = direction === 'egress' ? source : destination
  const element = ruleset.sets.get(`${direction}${own.includes(':') ? '6' : '4'}`)?.elements.find(({ key }) => key[0] === own)
  const verdict = element?.data
  if (verdict === undefined || !('chain' in verdict)) return undefined
  const rules = ruleset.chains.get(verdict.chain)?.rules ?? []
  // the last one drops
  return { chain: verdict.chain, passes: source === destination || rules.slice(0, -1).some(({ statements }) => statements.every((statement) => holds(statement, packet, ruleset))) }
}

function holds(statement: Statement, { source, destination, protocol, port }: PolicyPacket, { sets }: Ruleset): boolean {
  if (statement.kind === 'lookup') return isMember(sets.get(statement.set), String(statement.key[0]).endsWith('saddr') ? source : destination)
  if (statement.kind !== 'match') return true
  if (statement.left === 'meta nfproto') return statement.right === (destination.includes(':') ? 'ipv6' : 'ipv4')
  if (statement.left === 'meta l4proto') return statement.right === protocol
  const [first = 0, last = first] = String(statement.right).split('-').map(Number)
  return port >= first && port <= last
}

function isMember(set: NamedSet | undefined, address: string): boolean {
  return set?.elements.some(({ key }) => isWithinRange(address, String(key[0]))) === true
}
