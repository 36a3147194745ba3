import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import t from 'tap'
import { openSqliteStore } from './index.ts'

const support = new URL('test-support/', import.meta.url).pathname

t.test('kill -9 in the middle of writes loses nothing that was acknowledged, and revisions go on', async (t) => {
  const directory = t.testdir()
  let newest = 0
  for (let run = 0; run < 3; run++) {
    const child = spawn(process.execPath, [`${support}writer.ts`, directory, String(run)], { stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
    const deadline = Date.now() + 20_000
    while (output.length < 200_000 && Date.now() < deadline) await new Promise((resolve) => void setTimeout(resolve, 5))
    child.kill('SIGKILL')
    await once(child, 'close')
    const store = openSqliteStore(directory)
    const acknowledged = output.split('\n').slice(0, -1)
    t.ok(acknowledged.length > 100, `${acknowledged.length} acknowledged writes before the kill`)
    const entries = new Map((await store.range('/registry/')).entries.map((entry) => [entry.key, entry.modRevision]))
    const lost = acknowledged.filter((line) => {
      const [key = '', revision] = line.split(' ')
      return entries.get(key) !== Number(revision)
    })
    t.same(lost, [])
    const current = await store.currentRevision()
    t.ok(current > newest)
    newest = current
    await store.close()
  }
})

t.test('a second process on the same directory is told so, and the first goes on', async (t) => {
  const directory = t.testdir()
  const store = openSqliteStore(directory)
  const second = spawnSync(process.execPath, ['-e', `import('${support}../index.ts').then((m) => m.openSqliteStore('${directory}')).catch((e) => console.log(e.message))`])
  t.match(second.stdout.toString(), /Cannot open the store .*state\.db: another process is using it; stop that one first/)
  t.equal(await store.create('/a', Buffer.from('still here')), 2)
  await store.close()
  await openSqliteStore(directory).close()
})

t.test('files that are not ours, damaged or newer are named as such and left as they are', (t) => {
  const directory = t.testdir({ state: {}, garbage: {}, foreign: {}, newer: {} })
  const garbage = `${directory}/garbage/state.db`
  writeFileSync(garbage, 'this is not a database, just a text that is long enough to have a header'.repeat(20))
  t.throws(() => openSqliteStore(`${directory}/garbage`), { code: 'corrupt', message: /is not a database.*left as it is; restore a copy/ })
  t.match(readFileSync(garbage, 'utf8'), /^this is not a database/)

  const foreign = new DatabaseSync(`${directory}/foreign/state.db`)
  foreign.exec('CREATE TABLE mine (x)')
  foreign.close()
  t.throws(() => openSqliteStore(`${directory}/foreign`), { code: 'corrupt', message: /database of another program/ })

  void openSqliteStore(`${directory}/newer`).close()
  const newer = new DatabaseSync(`${directory}/newer/state.db`)
  newer.exec('PRAGMA user_version = 99')
  newer.close()
  t.throws(() => openSqliteStore(`${directory}/newer`), { code: 'newer-schema', message: /written by a newer Fairway \(format 99, this one knows 1\)/ })
  t.end()
})

t.test('a database file that lost its end is reported, not served', async (t) => {
  const directory = t.testdir()
  const store = openSqliteStore(directory)
  for (let i = 0; i < 200; i++) await store.create(`/k${i}`, Buffer.alloc(1000, i))
  await store.close()
  const file = `${directory}/state.db`
  truncateSync(file, statSync(file).size - 8 * 4096)
  t.throws(() => openSqliteStore(directory), { code: 'corrupt' })
})

t.test('nobody else may read what is stored, whoever made the directory', async (t) => {
  const directory = t.testdir()
  chmodSync(directory, 0o755)
  const store = openSqliteStore(directory)
  await store.create('/a', Buffer.from('secret'))
  t.same(readdirSync(directory).sort().map((name) => [name, statSync(`${directory}/${name}`).mode & 0o777]), [['state.db', 0o600], ['state.db-wal', 0o600]])
  await store.close()
})

t.test('a directory that cannot be made is a sentence', (t) => {
  const directory = t.testdir({ file: 'x' })
  t.throws(() => openSqliteStore(`${directory}/file/below`), { code: 'io', message: /Cannot open the store .*ENOTDIR/ })
  t.end()
})

t.test('beyond its size limit the store refuses to grow, but lets one delete', async (t) => {
  const store = openSqliteStore(t.testdir(), { bytesMax: 400_000 })
  const revisions: number[] = []
  await t.rejects(
    async () => {
      for (let i = 0; i < 1000; i++) revisions.push(await store.create(`/k${i}`, Buffer.alloc(4000, i)))
    },
    { code: 'full', message: /has reached its size limit/ },
  )
  t.ok(revisions.length > 50)
  for (let i = 0; i < 50; i++) await store.delete(`/k${i}`, revisions[i] ?? 0)
  await store.compact(await store.currentRevision())
  await store.create('/room', Buffer.alloc(4000))
  t.equal((await store.range('/')).entries.length, revisions.length - 50 + 1)
  await store.close()
})

t.test('a full disk is a sentence and costs nothing that was acknowledged', { skip: process.getuid?.() !== 0 && 'needs root for a small file system' }, (t) => {
  const directory = t.testdir()
  const script = `mount -t tmpfs -o size=1m none '${directory}' && exec '${process.execPath}' '${support}fill.ts' '${directory}'`
  const child = spawnSync('unshare', ['--mount', 'sh', '-c', script])
  t.equal(child.status, 0, child.stderr.toString())
  const { sentence, acknowledged, lost } = JSON.parse(child.stdout.toString()) as { sentence: string; acknowledged: number; lost: number }
  t.match(sentence, /Cannot write to the store: the disk is full/)
  t.ok(acknowledged > 20)
  t.equal(lost, 0)
  t.end()
})

t.test('compaction keeps the file from growing with every update', async (t) => {
  const directory = t.testdir()
  const store = openSqliteStore(directory)
  let revision = await store.create('/a', Buffer.alloc(2000))
  for (let round = 0; round < 12; round++) {
    for (let i = 0; i < 500; i++) revision = await store.update('/a', Buffer.alloc(2000, i), revision)
    await store.compact(revision)
    const size = statSync(`${directory}/state.db`).size
    if (size > 1_500_000) t.fail(`${size} bytes after ${round + 1} MB of updates`)
  }
  await store.close()
  t.ok(statSync(`${directory}/state.db`).size < 100_000)
})
