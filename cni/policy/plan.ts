/** From what the kernel was given last to what is wanted now: one transaction with the difference. Pure. */
import { accept, equal, has, isIn, priorities, vmap } from '../../netlink/nftables/index.ts'
import type { ElementSpec, Operation, RuleSpec, SetSpec, TableSpec } from '../../netlink/nftables/index.ts'
import { families, isolationMaps } from './want.ts'
import type { IsolationMap, PolicyWant } from './want.ts'

export const policyTable = { family: 'inet', name: 'fairway-policy', comment: 'network policies' } as const satisfies TableSpec

const table = policyTable
const maps = new Map<IsolationMap, SetSpec>(isolationMaps.map((name) => [name, { name, key: [name.endsWith('4') ? 'ipv4_addr' : 'ipv6_addr'], data: 'verdict' }]))
/** A pod may always reach itself, by whatever service. */
const selfSets = families.map(({ digit, type }): SetSpec => ({ name: `self${digit}`, key: [type, type] }))

/** What goes between pods, and between them and the world; what a host sends to its own pods does not come by here, and is always let in. */
const forwardRules: readonly RuleSpec[] = [
  // whoever may ask may be answered
  { statements: [has('ct state', 'established,related'), accept] },
  ...families.flatMap(({ digit, name, ip }): RuleSpec[] => [
    { statements: [equal('meta nfproto', name), isIn([`${ip} saddr`, `${ip} daddr`], `self${digit}`), accept] },
    { statements: [equal('meta nfproto', name), vmap([`${ip} saddr`], `egress${digit}`)] },
    { statements: [equal('meta nfproto', name), vmap([`${ip} daddr`], `ingress${digit}`)] },
  ]),
]

/** `have`: what was applied last; undefined: not known, so the table is made anew, in the same transaction that ends the old one. */
export function planPolicy(want: PolicyWant, have: PolicyWant | undefined): Operation[] {
  if (isEmpty(want)) return have === undefined || !isEmpty(have) ? [{ kind: 'deleteTable', table, ifExists: true }] : []
  if (have === undefined || isEmpty(have)) return [{ kind: 'deleteTable', table, ifExists: true }, ...makeTable(), ...difference(want, nothing)]
  return difference(want, have)
}

const nothing: PolicyWant = { chains: new Map(), peers: new Map(), isolated: { egress4: new Map(), egress6: new Map(), ingress4: new Map(), ingress6: new Map() } }

function isEmpty({ isolated }: PolicyWant): boolean {
  return isolationMaps.every((name) => isolated[name].size === 0)
}

function makeTable(): Operation[] {
  return [
    { kind: 'addTable', table },
    ...[...maps.values(), ...selfSets].map((set): Operation => ({ kind: 'addSet', table, set })),
    { kind: 'addChain', table, chain: { name: 'forward', base: { type: 'filter', hook: 'forward', priority: priorities.filter, policy: 'accept' } } },
    ...forwardRules.map((rule): Operation => ({ kind: 'addRule', table, chain: 'forward', rule })),
  ]
}

/** What is referred to comes before what refers to it, and goes after. */
function difference(want: PolicyWant, have: PolicyWant): Operation[] {
  const before: Operation[] = []
  const after: Operation[] = []
  for (const [name, { spec, members }] of want.peers) {
    if (!have.peers.has(name)) before.push({ kind: 'addSet', table, set: spec })
    before.push(...elementChanges(spec, keysOf(members), keysOf(have.peers.get(name)?.members ?? [])))
  }
  for (const [name, rules] of want.chains) {
    if (have.chains.has(name)) continue
    before.push({ kind: 'addChain', table, chain: { name } }, ...rules.map((statements): Operation => ({ kind: 'addRule', table, chain: name, rule: { statements } })))
  }
  const changes = isolationMaps.flatMap((name) => elementChanges(maps.get(name) as SetSpec, jumpsOf(want.isolated[name]), jumpsOf(have.isolated[name])))
  for (const set of selfSets) before.push(...elementChanges(set, selvesOf(want, set), selvesOf(have, set)))
  for (const name of have.chains.keys()) if (!want.chains.has(name)) after.push({ kind: 'flushChain', table, chain: name }, { kind: 'deleteChain', table, chain: name })
  for (const name of have.peers.keys()) if (!want.peers.has(name)) after.push({ kind: 'deleteSet', table, set: name })
  return [...before, ...changes, ...after]
}

type Elements = ReadonlyMap<string, ElementSpec>

function keysOf(members: Iterable<string>): Elements {
  return new Map([...members].map((member) => [member, { key: [member] }]))
}

function jumpsOf(isolated: ReadonlyMap<string, string>): Elements {
  return new Map([...isolated].map(([address, chain]) => [`${address} ${chain}`, { key: [address], data: { verdict: 'jump', chain } }]))
}

function selvesOf({ isolated }: PolicyWant, { name }: SetSpec): Elements {
  const digit = name.endsWith('4') ? '4' : '6'
  return new Map([...isolated[`egress${digit}`].keys(), ...isolated[`ingress${digit}`].keys()].map((address) => [address, { key: [address, address] }]))
}

function elementChanges(set: SetSpec, want: Elements, have: Elements): Operation[] {
  const stale = [...have].filter(([key]) => !want.has(key)).map(([, element]) => element)
  const missing = [...want].filter(([key]) => !have.has(key)).map(([, element]) => element)
  return [
    ...(stale.length === 0 ? [] : [{ kind: 'deleteElements', table, set, elements: stale } as const]),
    ...(missing.length === 0 ? [] : [{ kind: 'addElements', table, set, elements: missing } as const]),
  ]
}
