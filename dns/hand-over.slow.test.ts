/** Two processes hand over on upgrade: questions come all the time, processes are replaced, and none is lost. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import packet from 'dns-packet'
import t from 'tap'
import { FakeClock, systemClock } from '../api/clock.ts'
import { silentLogger } from '../api/log.ts'
import { AF_UNIX, SOCK_NONBLOCK, SOCK_SEQPACKET, bind, close, listen, socket } from '../netlink/ffi.ts'
import { inherit, offer } from './server/hand-over.ts'
import { openPlace } from './server/sockets.ts'
import { plainUpstream } from './test-support/plain-upstream.ts'
import { data, overTcp, overUdp, start, web } from './test-support/started.ts'

/** Upgrades of the test; `FAIRWAY_UPGRADES=200` for longer. */
const upgrades = Number(process.env['FAIRWAY_UPGRADES'] ?? 20)
const folder = mkdtempSync(join(tmpdir(), 'fairway-dns-hand-over-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))
const name = 'web.default.svc.cluster.local'

/** Asks by UDP, by TCP and for names elsewhere until stopped; who got no answer in 5 s is lost. */
function askOn(port: number): { stop(): Promise<{ asked: number; lost: string[] }> } {
  const lost: string[] = []
  const open = new Set<Promise<void>>()
  let asked = 0
  const ask = (what: string, by: () => Promise<Buffer>): void => {
    asked += 1
    const one = by().then((answer) => void (packet.decode(answer).answers?.length === 1 || lost.push(`${what}: ${packet.decode(answer).rcode ?? ''}`)), (error: Error) => void lost.push(`${what}: ${error.message}`))
    open.add(one)
    void one.finally(() => open.delete(one))
  }
  const query = (asking: string): Buffer => packet.encode({ type: 'query', id: asked % 65_536, flags: packet.RECURSION_DESIRED, questions: [{ name: asking, type: 'A' }] })
  const timer = setInterval(() => {
    ask('udp', () => overUdp(port, query(name)))
    ask('udp', () => overUdp(port, query(name)))
    if (asked % 5 === 0) ask('elsewhere', () => overUdp(port, query(`n${asked}.example`)))
    if (asked % 2 === 0) ask('tcp', () => overTcp(port, Buffer.concat([Buffer.from([0, query(name).length]), query(name)])))
  }, 5)
  return {
    async stop() {
      clearInterval(timer)
      await Promise.all(open)
      return { asked, lost }
    },
  }
}

interface Answering { readonly child: ChildProcess; readonly ended: Promise<number | null> }

async function answering(t: { teardown(end: () => void): void }, ...args: readonly string[]): Promise<Answering> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'test-support/answering-process.ts'), ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  t.teardown(() => void child.kill('SIGKILL'))
  const begun = await Promise.race([new Promise<boolean>((resolve) => child.stdout.once('data', () => resolve(true))), ended.then(() => false)])
  if (!begun) throw new Error('the process ended before it answered')
  return { child, ended }
}

t.test(`no question is lost while ${upgrades} processes follow one another`, { timeout: 60_000 + upgrades * 5000 }, async (t) => {
  // There is always a question under way to it.
  const upstream = await plainUpstream(t, { delayMs: 100 })
  const free = openPlace({ kind: 'tcp', address: '127.0.0.1', port: 0 })
  close(free.fd)
  const args = [`127.0.0.1:${free.port}`, join(folder, 'upgrades.sock'), String(upstream)]
  let now = await answering(t, ...args)
  const asking = askOn(free.port)
  for (let n = 0; n < upgrades; n += 1) {
    const next = await answering(t, ...args)
    t.equal(await now.ended, 0, 'the one before has ended by itself')
    now = next
  }
  const { asked, lost } = await asking.stop()
  t.same(lost.slice(0, 5), [], `of ${asked} questions`)
  t.comment(`${asked} questions, ${upgrades} upgrades, ${lost.length} lost`)
  now.child.kill('SIGKILL')
  await now.ended
})

t.test('the new process waits until it knows the names, and begins at once when the old one dies meanwhile', async (t) => {
  const handOver = join(folder, 'dies.sock')
  const old = await start(t, { services: [web] }, { handOver })
  await old.server.ready
  const { FakeApi } = await import('./test-support/fake-api.ts')
  const api = new FakeApi()
  api.reachable = new Promise(() => undefined)
  let begun = false
  const starting = start(t, {}, { handOver, listen: [{ address: '127.0.0.1', port: old.port }] }, api).then((started) => {
    begun = true
    return started
  })
  await new Promise((resolve) => setTimeout(resolve, 300))
  t.equal(begun, false)
  t.same(data(await old.ask(name)), ['10.96.0.7'], 'the old one answers meanwhile')
  await old.server.stop()
  const next = await starting
  t.equal(next.port, old.port)
  t.equal((await next.ask(name)).rcode, 'SERVFAIL', 'which is what it knows')
})

t.test('sockets that the new process has no use for are closed, and new ones opened', async (t) => {
  const handOver = join(folder, 'places.sock')
  const old = await start(t, { services: [web] }, { handOver, health: { address: '127.0.0.1', port: 19_155 } })
  await old.server.ready
  const next = await start(t, { services: [web] }, { handOver })
  await old.server.done
  t.not(next.port, old.port)
  await t.rejects(overUdp(old.port, Buffer.alloc(12), 200), /no answer/)
  await t.rejects(fetch('http://127.0.0.1:19155/health'))
  t.same(data(await next.ask(name)), ['10.96.0.7'])
  await next.server.stop()
  t.notOk(existsSync(handOver), 'the last one leaves nothing behind')
})

t.test('who speaks another version, or dies while it takes over, leaves the old one answering', async (t) => {
  const path = join(folder, 'versions.sock')
  const place = openPlace({ kind: 'tcp', address: '127.0.0.1', port: 0 })
  let taken = 0
  const offered = offer(path, [place], { onTaken: () => (taken += 1), log: silentLogger })
  const dying = await inherit(path, systemClock)
  const given = dying?.take(place)
  t.ok(given !== undefined && given.fd !== place.fd)
  t.equal(dying?.take(place), undefined, 'a socket is taken once')
  // A process that takes over and dies: its end is seen, and nothing has happened.
  await new Promise<void>((resolve) => connect(path).once('error', () => resolve()))
  await systemClock.sleep(50)
  t.equal(taken, 0)
  const next = await inherit(path, systemClock)
  await next?.finish()
  t.equal(taken, 1)
  offered.close()
  t.ok(existsSync(path), 'the path is the new one’s by now')
  t.equal(await inherit(join(folder, 'nobody.sock'), systemClock), undefined)
  await t.rejects(inherit(join(folder, 'x'.repeat(200)), systemClock), /at most 107 bytes/)
})

t.test('the old one leaves the snapshot to the new one', async (t) => {
  const handOver = join(folder, 'saves.sock')
  const snapshot = join(folder, 'of-the-old-one')
  const old = await start(t, { services: [web] }, { handOver, snapshot })
  await old.server.ready
  await start(t, { services: [web] }, { handOver })
  await old.server.done
  t.notOk(existsSync(snapshot))
})

t.test('a file that is no socket is not removed', async (t) => {
  const path = join(folder, 'precious')
  writeFileSync(path, 'data')
  await t.rejects(start(t, { services: [web] }, { handOver: path }), /no socket/)
  t.equal(readFileSync(path, 'utf8'), 'data')
})

t.test('a process that hangs is not waited for', async (t) => {
  const path = join(folder, 'hangs.sock')
  const fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0)
  t.teardown(() => close(fd))
  bind(fd, Buffer.concat([Buffer.from([AF_UNIX, 0]), Buffer.from(path), Buffer.from([0])]))
  listen(fd, 1)
  const clock = new FakeClock()
  const waiting = inherit(path, clock)
  await clock.advance(5000)
  t.equal(await waiting, undefined)
})
