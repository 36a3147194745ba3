import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Netns } from '../netns.ts'
import { accept, counter, equal, has, isIn, openNftables } from './index.ts'
import type { Nftables, NftablesEvent, Ruleset } from './index.ts'
import { FakeNftables } from './test-support/fake-nftables.ts'
import { begin, elementsOf, nftablesCases, table } from './test-support/nftables-cases.ts'
import { typicalRuleset } from './test-support/typical-ruleset.ts'

/** What `nft list ruleset` prints; written anew by running this file with `--update`. */
const goldenFile = new URL('test-support/typical-ruleset.nft', import.meta.url)

if (process.getuid?.() !== 0) {
  t.plan(0, 'nftables against the kernel: needs root')
  process.exit()
}

interface Place {
  readonly netns: Netns
  readonly nftables: Nftables
  nft(...args: string[]): string
  [Symbol.dispose](): void
}

function makePlace(): Place {
  const directory = mkdtempSync(join(tmpdir(), 'fairway-nftables-'))
  const path = join(directory, 'netns')
  const netns = Netns.create(path)
  const nftables = openNftables({ netns })
  return {
    netns, nftables,
    nft: (...args) => execFileSync('nsenter', [`--net=${path}`, 'nft', ...args], { encoding: 'utf8' }),
    [Symbol.dispose]() {
      nftables.close()
      netns.close()
      Netns.delete(path)
      rmSync(directory, { recursive: true })
    },
  }
}

for (const { title, run, expected } of nftablesCases) {
  t.test(`kernel: ${title}`, async (t) => {
    using place = makePlace()
    t.strictSame(run(place.nftables), expected)
  })
}

/** Hashed elements are listed in any order. */
function sortElements(text: string): string {
  return text.replace(/elements = \{ ([^}]*) \}/g, (_, elements: string) => `elements = { ${elements.split(/,\s+/).toSorted().join(',\n\t\t\t     ')} }`)
}

const withSorted = (ruleset: Ruleset | undefined): unknown =>
  ruleset && { ...ruleset, sets: [...ruleset.sets.values()].map((set) => ({ ...set, elements: set.elements.toSorted((a, b) => String(a.key).localeCompare(String(b.key))) })) }

t.test('the fake reads a typical ruleset as the kernel does, handles and all', async (t) => {
  using place = makePlace()
  const fake = new FakeNftables()
  for (const nftables of [place.nftables, fake]) nftables.apply(typicalRuleset)
  for (const id of [{ family: 'ip', name: 'fairway-proxy' }, { family: 'inet', name: 'fairway-host' }] as const) {
    t.strictSame({ ...withSorted(fake.list(id)) as object, generation: 0 }, { ...withSorted(place.nftables.list(id)) as object, generation: 0 })
  }
})

t.test('nft prints what was made, as the golden text has it', async (t) => {
  using place = makePlace()
  place.nftables.apply(typicalRuleset)
  const printed = sortElements(place.nft('list', 'ruleset'))
  if (process.argv.includes('--update')) writeFileSync(goldenFile, printed)
  t.equal(printed, readFileSync(goldenFile, 'utf8'))
})

t.test('what nft makes is read', async (t) => {
  using place = makePlace()
  place.nft(`
    table ip fairway-proxy {
      comment "by hand"
      set allowed { type ipv4_addr . inet_service; flags interval; elements = { 10.0.0.0/8 . 80-90 } }
      map marks { type ifname : mark; elements = { "eth0" : 0x10 } }
      set odd { typeof ip saddr . tcp option maxseg size; elements = { 10.0.0.1 . 5 } }
      chain input {
        type filter hook input priority filter - 5; policy drop;
        ip saddr . tcp dport @allowed counter accept comment "allowed"
        ct state established,related accept
        tcp dport { 80, 443 } accept
        limit rate 5/second accept
      }
    }`)
  const ruleset = place.nftables.list(table)
  const rules = ruleset?.chains.get('input')?.rules ?? []
  t.equal(ruleset?.table.comment, 'by hand')
  t.strictSame(ruleset?.chains.get('input')?.base, { type: 'filter', hook: 'input', priority: -5, policy: 'drop' })
  t.match(rules[0], {
    statements: [equal('meta l4proto', 'tcp'), isIn(['ip saddr', 'th dport'], 'allowed'), counter, accept], counters: [{ packets: 0, bytes: 0 }], comment: 'allowed',
  })
  t.strictSame(rules[1]?.statements, [has('ct state', 'established,related'), accept])
  t.strictSame(rules[2]?.statements.map(({ kind }) => kind), ['match', 'lookup', 'verdict'])
  t.strictSame(rules[3]?.statements.map((statement) => (statement.kind === 'foreign' ? statement.name : '')), ['limit', 'immediate'])
  t.strictSame([...ruleset?.sets.keys() ?? []], ['allowed', 'marks', 'odd'])
  t.match(ruleset?.sets.get('marks'), { key: ['ifname'], data: ['mark'], elements: [{ key: ['eth0'], data: [0x10] }] })
  t.match(ruleset?.sets.get('odd'), { key: [], elements: [] })
  place.nftables.apply([{ kind: 'replaceRule', table, chain: 'input', handle: rules[1]?.handle ?? 0, rule: { statements: rules[3]?.statements ?? [], comment: 'copied' } }])
  t.match(place.nft('list', 'table', 'ip', 'fairway-proxy'), /limit rate 5\/second accept comment "copied"/)
})

t.test('what others do is heard of, what is done here is not', async (t) => {
  using place = makePlace()
  const events: NftablesEvent[] = []
  const listening = place.nftables.listen((event) => events.push(event))
  begin(place.nftables)
  const ours = place.nftables.generation()
  place.nft('flush', 'table', 'ip', 'fairway-proxy')
  place.nft('add', 'rule', 'ip', 'fairway-proxy', 'n10', 'accept')
  while (events.length < 1) await new Promise((resolve) => setImmediate(resolve))
  place.nft('add', 'table', 'inet', 'elsewhere')
  while (events.length < 2) await new Promise((resolve) => setImmediate(resolve))
  t.match(events, [
    { kind: 'transaction', processName: 'nft', tables: [{ family: 'ip', name: 'fairway-proxy' }] }, { kind: 'transaction', processName: 'nft', tables: [{ family: 'inet', name: 'elsewhere' }] },
  ])
  t.equal(place.nftables.generation() - ours, 2)
  t.throws(() => place.nftables.apply([{ kind: 'flushTable', table }], { generation: ours }), { code: 'ERESTART' })
  t.equal(place.nftables.list(table)?.chains.get('n10')?.rules.length, 1)
  listening.close()
})

t.test('elements end by themselves', async (t) => {
  using place = makePlace()
  const timed = { name: 'timed', key: ['ipv4_addr'], timeout: true } as const
  begin(place.nftables, { kind: 'addSet', table, set: timed }, { kind: 'addElements', table, set: timed, elements: [{ key: ['10.0.0.1'], timeoutMs: 40 }, { key: ['10.0.0.2'], timeoutMs: 600_000 }] })
  const generation = place.nftables.generation()
  while (elementsOf(place.nftables, 'timed').length > 1) await new Promise((resolve) => setTimeout(resolve, 5))
  t.match(elementsOf(place.nftables, 'timed'), [{ key: ['10.0.0.2'], timeoutMs: 600_000 }])
  t.equal(place.nftables.generation(), generation)
})

t.test('a closed one says so', async (t) => {
  using place = makePlace()
  place.nftables.close()
  t.throws(() => place.nftables.generation(), { message: 'Cannot read generation of nftables: the netlink socket is closed' })
  place.nftables.close()
})
