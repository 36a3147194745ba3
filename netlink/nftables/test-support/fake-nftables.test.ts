import t from 'tap'
import { FakeNftables } from './fake-nftables.ts'
import type { NftablesEvent } from '../index.ts'
import { begin, elementsOf, nftablesCases, table } from './nftables-cases.ts'

for (const { title, run, expected } of nftablesCases) {
  t.test(`fake: ${title}`, async (t) => {
    t.strictSame(run(new FakeNftables()), expected)
  })
}

const turn = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })

t.test('listeners of the fake hear of others, and of what they missed', async (t) => {
  const nftables = new FakeNftables()
  const events: NftablesEvent[] = []
  const listening = nftables.listen((event) => events.push(event))
  begin(nftables)
  const generation = nftables.another().apply([{ kind: 'deleteChain', table, chain: 'n10' }])
  t.strictSame(events, [])
  await turn()
  nftables.overrun()
  await turn()
  t.strictSame(events, [{ kind: 'transaction', generation, processName: 'nft', tables: [{ family: 'ip', name: 'fairway-proxy' }] }, { kind: 'overrun' }])
  t.throws(() => nftables.apply([{ kind: 'flushTable', table }], { generation: generation - 1 }), { code: 'ERESTART' })
  nftables.another().apply([{ kind: 'addChain', table, chain: { name: 'n10' } }])
  listening.close()
  await turn()
  t.equal(events.length, 2)
  t.equal(nftables.transactions.length, 1)
})

t.test('time goes by in the fake when told', async (t) => {
  const nftables = new FakeNftables()
  const timed = { name: 'timed', key: ['ipv4_addr'], timeout: true } as const
  begin(nftables, { kind: 'addSet', table, set: timed }, { kind: 'addElements', table, set: timed, elements: [{ key: ['10.0.0.1'], timeoutMs: 1_000 }, { key: ['10.0.0.2'], timeoutMs: 5_000 }, { key: ['10.0.0.3'] }] })
  nftables.pass(2_000)
  t.strictSame(elementsOf(nftables, 'timed'), [{ key: ['10.0.0.2'], timeoutMs: 5_000, expiresMs: 3_000 }, { key: ['10.0.0.3'] }])
})
