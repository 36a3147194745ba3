import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Netns } from '../netns.ts'
import { openNftables } from './index.ts'
import type { Nftables } from './index.ts'
import { nftablesCases } from './test-support/nftables-cases.ts'

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
