/**
 * Hostile connections of every kind at once, from many addresses, against a server in a process of its own: it stays as it is, and whoever asks properly is
 * answered. Some seconds by default, `FAIRWAY_HOSTILE_SECONDS=1800` for longer (docs/dns.md has the result). A connection may be idle for a twentieth of the usual
 * time here, so that a minute is as twenty.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import packet from 'dns-packet'
import t from 'tap'
import { close } from '../netlink/ffi.ts'
import { openPlace } from './server/sockets.ts'
import { seeded } from './test-support/packets.ts'
import { overTcp, overUdp, start, web } from './test-support/started.ts'

const seconds = Number(process.env['FAIRWAY_HOSTILE_SECONDS'] ?? 12)
const idleMs = 500
const attackersMax = 400

const query = packet.streamEncode({ type: 'query', id: 4711, questions: [{ name: 'web.default.svc.cluster.local', type: 'A' }] })
const burst = Buffer.concat(Array.from({ length: 3000 }, () => query))
const random = seeded(853)
const below = (max: number): number => Math.floor(random() * max)

interface Server { readonly port: number; rssMiB(): number; readonly alive: () => boolean; stop(): Promise<void> }

async function startServer(): Promise<Server> {
  const place = openPlace({ kind: 'tcp', address: '127.0.0.1', port: 0 })
  close(place.fd)
  const child = spawn(process.execPath, [join(import.meta.dirname, 'test-support/answering-process.ts'), `127.0.0.1:${place.port}`, '-', '-', String(idleMs)], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  await once(child.stdout, 'data')
  return {
    port: place.port,
    alive: () => child.exitCode === null,
    rssMiB: () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) / 1024,
    async stop() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

/** Who asks properly meanwhile, with an event loop of its own. */
async function ask(port: number): Promise<{ readonly answered: number; readonly failed: number; readonly slowestMs: number }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'test-support/asking-process.ts'), String(port), String(seconds)], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.on('data', (data: Buffer) => (text += data.toString()))
  await once(child, 'close')
  return JSON.parse(text) as Awaited<ReturnType<typeof ask>>
}

/** What an attacker does with a connection; each ends when the connection does. */
const attacks: Readonly<Record<string, (socket: Socket, every: (ms: number, act: () => void) => void) => void>> = {
  'says nothing': () => undefined,
  'sends byte after byte': (socket, every) => {
    let at = 0
    every(20, () => socket.write(query.subarray(at % query.length, (at++ % query.length) + 1)))
  },
  'announces more than it sends': (socket, every) => {
    socket.write(Uint8Array.of(0xff, 0xff))
    every(50, () => socket.write(Buffer.alloc(1000, below(256))))
  },
  'asks without end and reads nothing': (socket, every) => {
    socket.pause()
    every(20, () => socket.writableLength < 1_000_000 && socket.write(burst))
  },
  'asks without end and reads': (socket, every) => {
    socket.resume()
    every(100, () => socket.writableLength === 0 && socket.write(burst))
  },
  'resets in the middle of a question': (socket) => void socket.write(query.subarray(0, 1 + below(query.length - 1)), () => socket.resetAndDestroy()),
  'resets while answers come': (socket) => void socket.write(burst, () => socket.resetAndDestroy()),
  'closes half, and waits': (socket) => {
    socket.end(query)
    socket.pause()
  },
  'sends noise': (socket, every) => every(30, () => socket.write(Buffer.from(Array.from({ length: 1 + below(200) }, () => below(256))))),
}
const kinds = Object.keys(attacks)

function attack(port: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', localAddress: `127.0.${below(4)}.${1 + below(250)}`, allowHalfOpen: true })
    const timers: NodeJS.Timeout[] = []
    socket.on('error', () => socket.destroy())
    socket.once('connect', () => attacks[kinds[below(kinds.length)] ?? '']?.(socket, (ms, act) => void timers.push(setInterval(act, ms))))
    // Whom the server let go does not linger.
    socket.on('end', () => socket.destroy())
    const weary = setTimeout(() => socket.destroy(), 4000)
    socket.once('close', () => {
      clearTimeout(weary)
      for (const timer of timers) clearInterval(timer)
      resolve()
    })
  })
}

t.test(`${seconds} seconds of hostile connections: no crash, no growth, and others are answered`, { timeout: seconds * 1000 + 60_000 }, async (t) => {
  const server = await startServer()
  t.teardown(() => server.stop())
  const until = performance.now() + seconds * 1000
  let connections = 0
  const attacker = async (): Promise<void> => {
    while (performance.now() < until && server.alive()) {
      connections += 1
      await attack(server.port)
      await new Promise((resolve) => setTimeout(resolve, below(50)))
    }
  }
  const attackers = Array.from({ length: attackersMax }, attacker)
  const rss: number[] = []
  const asking = ask(server.port)
  while (performance.now() < until) {
    if (server.alive()) rss.push(server.rssMiB())
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  await Promise.all(attackers)
  const { answered, failed, slowestMs } = await asking
  t.ok(server.alive(), 'the server lives')
  t.equal(failed, 0, `${answered} proper questions are answered among ${connections} hostile connections`)
  const third = Math.ceil(rss.length / 3)
  const [early, late] = [Math.max(...rss.slice(third, 2 * third)), Math.max(...rss.slice(2 * third))]
  t.ok(late < early * 1.25 + 20, `memory does not grow: at most ${Math.round(early)} MiB in the middle third, ${Math.round(late)} MiB in the last`)
  t.ok(Math.max(...rss) < 600, `nor is there much of it: ${Math.round(Math.max(...rss))} MiB`)
  const text = `${connections} connections, ${answered} answered, ${failed} not, the slowest after ${slowestMs} ms; resident ${Math.round(early)} and ${Math.round(late)} MiB`
  t.comment(text)
  if (process.env['FAIRWAY_HOSTILE_SECONDS'] !== undefined) process.stderr.write(`${text}\n`)
})

t.test('one connection that asks without end delays nobody', async (t) => {
  const { port, server } = await start(t, { services: [web] })
  await server.ready
  const flood = 200_000
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  let received = 0
  socket.on('data', (data: Buffer) => (received += data.length)).on('error', () => undefined)
  await once(socket, 'connect')
  const answerBytes = (await overTcp(port, query)).length + 2
  const many = Buffer.concat(Array.from({ length: flood }, () => query))
  socket.write(many)
  await once(socket, 'data')
  for (let n = 0; n < 20; n += 1) await (n % 2 === 0 ? overUdp(port, query.subarray(2)) : overTcp(port, query))
  const answered = received / answerBytes
  t.ok(answered < flood, `others had 20 answers, one after the other, while it had ${Math.round(answered)} of ${flood}`)
  t.comment(`${Math.round(answered)} of ${flood}`)
})
