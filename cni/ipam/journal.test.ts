import { spawn } from 'node:child_process'
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { Journal, journalNames } from './journal.ts'
import { parseRangeSets } from './ranges.ts'

const [set] = parseRangeSets({ subnet: '10.1.0.0/16' })

function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'fairway-ipam-'))
  t.teardown(() => rmSync(path, { recursive: true }))
  return path
}

function take(journal: Journal, containerId: string): Promise<string> {
  return journal.update((ledger) => {
    const address = ledger.next(set!)!
    return { entries: [{ kind: 'take', holding: { address, containerId, ifname: 'eth0', pod: 'default/web' } }], value: address }
  })
}

function free(journal: Journal, address: string): Promise<void> {
  return journal.update(() => ({ entries: [{ kind: 'free', address }], value: undefined }))
}

const addresses = (journal: Journal): string[] => journal.read().holdings().map(({ address }) => address)

t.test('two that have the journal open see what the other wrote', async (t) => {
  const dataDir = folder(t)
  const [one, two] = [new Journal(dataDir, 'net'), new Journal(dataDir, 'net')]
  t.equal(await take(one, 'a'), '10.1.0.2')
  t.equal(await take(two, 'b'), '10.1.0.3')
  await free(one, '10.1.0.3')
  t.equal(await take(two, 'c'), '10.1.0.4')
  t.strictSame(addresses(one), ['10.1.0.2', '10.1.0.4'])
  t.match(one.read().holder('10.1.0.2'), { containerId: 'a', ifname: 'eth0', pod: 'default/web' })
  t.strictSame(journalNames(dataDir), ['net'])
  t.equal(statSync(join(dataDir, 'ipam', 'net', 'journal')).mode & 0o777, 0o600)
})

t.test('what is decided at the same time is decided in turn', async (t) => {
  const dataDir = folder(t)
  const journals = Array.from({ length: 8 }, () => new Journal(dataDir, 'net'))
  const given = await Promise.all(journals.flatMap((journal, i) => Array.from({ length: 8 }, (_, j) => take(journal, `c${i}-${j}`))))
  t.equal(new Set(given).size, 64)
})

t.test('a line that a crash cut off is dropped, and written over', async (t) => {
  const dataDir = folder(t)
  const file = join(dataDir, 'ipam', 'net', 'journal')
  await take(new Journal(dataDir, 'net'), 'a')
  const whole = readFileSync(file)
  await take(new Journal(dataDir, 'net'), 'b')
  const all = readFileSync(file)
  for (let length = 0; length < all.length; length++) {
    writeFileSync(file, all.subarray(0, length))
    const journal = new Journal(dataDir, 'net')
    const before = addresses(journal)
    t.strictSame(before, length < whole.length ? [] : ['10.1.0.2'], `${length} bytes`)
    t.equal(await take(journal, 'x'), before.length === 0 ? '10.1.0.2' : '10.1.0.3')
    t.equal(addresses(new Journal(dataDir, 'net')).length, before.length + 1)
  }
  writeFileSync(file, Buffer.concat([all, Buffer.alloc(100)]))
  t.equal(await take(new Journal(dataDir, 'net'), 'y'), '10.1.0.4', 'zeros that a file system left behind')
})

t.test('a corrupt or newer journal is refused, and stays as it is', async (t) => {
  const dataDir = folder(t)
  const file = join(dataDir, 'ipam', 'net', 'journal')
  await take(new Journal(dataDir, 'net'), 'a')
  const good = readFileSync(file, 'utf8')
  const bad = `${good}nonsense\n${JSON.stringify({ take: '10.1.0.9', containerId: 'z', ifname: 'eth0' })}\n`
  writeFileSync(file, bad)
  await t.rejects(take(new Journal(dataDir, 'net'), 'b'), { message: /line 3 is corrupt/ })
  t.equal(readFileSync(file, 'utf8'), bad)
  // who goes can go, and is told from who stays
  const free = (containerId: string): Promise<void> => new Journal(dataDir, 'net').free((ledger) => ledger.heldBy({ containerId, ifname: 'eth0' }).map(({ address }) => ({ kind: 'free', address })))
  for (const containerId of ['z', 'z', 'nobody']) await free(containerId)
  t.equal(readFileSync(file, 'utf8'), `${bad}{"free":"10.1.0.9"}\n`)
  await t.rejects(take(new Journal(dataDir, 'net'), 'b'), { message: /line 3 is corrupt/ }, 'and nobody comes')
  writeFileSync(file, good.replace('"version":1', '"version":2'))
  await t.rejects(take(new Journal(dataDir, 'net'), 'b'), { message: /is of version 2, and this plugin knows version 1/ })
})

t.test('a decision that throws writes nothing', async (t) => {
  const dataDir = folder(t)
  const journal = new Journal(dataDir, 'net')
  await take(journal, 'a')
  await t.rejects(journal.update(() => { throw new Error('no') }), { message: 'no' })
  t.strictSame(addresses(new Journal(dataDir, 'net')), ['10.1.0.2'])
  t.equal(await take(journal, 'b'), '10.1.0.3', 'and the lock is free')
})

t.test('the journal is rewritten when most of it says nothing any more, and others follow', async (t) => {
  const dataDir = folder(t)
  const [one, two] = [new Journal(dataDir, 'net'), new Journal(dataDir, 'net')]
  await take(one, 'stays')
  t.strictSame(addresses(two), ['10.1.0.2'])
  await one.update(() => ({ entries: Array.from({ length: 2000 }, () => ({ kind: 'free', address: '10.1.0.99' }) as const), value: undefined }))
  t.ok(readFileSync(join(dataDir, 'ipam', 'net', 'journal'), 'utf8').split('\n').length < 10)
  t.equal(await take(two, 'b'), '10.1.0.3')
  appendFileSync(join(dataDir, 'ipam', 'net', 'lock'), '')
  t.strictSame(addresses(one), ['10.1.0.2', '10.1.0.3'])
})

const writer = `
  const [file, dataDir, id] = process.argv.slice(1)
  const { Journal } = await import(file)
  const { parseRangeSets } = await import(new URL('ranges.ts', file))
  const [set] = parseRangeSets({ subnet: '10.1.0.0/16' })
  const journal = new Journal(dataDir, 'net')
  for (let i = 0; ; i++) {
    const address = await journal.update((ledger) => {
      const address = ledger.next(set)
      return { entries: [{ kind: 'take', holding: { address, containerId: id + '-' + i, ifname: 'eth0' } }], value: address }
    })
    process.stdout.write(address + '\\n')
  }
`

t.test('kill -9 of writers loses nothing that was given, and leaves no lock', async (t) => {
  const dataDir = folder(t)
  const given: string[] = []
  for (let round = 0; round < 3; round++) {
    await Promise.all([0, 1].map((n) => new Promise<void>((resolve) => {
      const child = spawn(process.execPath, ['--input-type=module', '-e', writer, new URL('journal.ts', import.meta.url).href, dataDir, `r${round}w${n}`], { stdio: ['ignore', 'pipe', 'inherit'] })
      let text = ''
      child.stdout.on('data', (data: Buffer) => {
        text += data.toString()
        if (text.length > 600) child.kill('SIGKILL')
      })
      child.on('close', () => {
        given.push(...text.split('\n').slice(0, -1))
        resolve()
      })
    })))
  }
  const held = new Set(addresses(new Journal(dataDir, 'net')))
  t.ok(given.length > 100)
  t.equal(new Set(given).size, given.length, 'no address twice')
  t.ok(given.every((address) => held.has(address)), 'all of them are in the journal')
  t.equal(typeof (await take(new Journal(dataDir, 'net'), 'after')), 'string')
})
