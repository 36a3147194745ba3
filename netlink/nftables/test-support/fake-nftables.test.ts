import t from 'tap'
import { FakeNftables } from './fake-nftables.ts'
import { nftablesCases } from './nftables-cases.ts'

for (const { title, run, expected } of nftablesCases) {
  t.test(`fake: ${title}`, async (t) => {
    t.strictSame(run(new FakeNftables()), expected)
  })
}
