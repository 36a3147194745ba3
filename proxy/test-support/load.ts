/**
 * Clients by the thousand, and the servers for them, in the network namespace it runs in: connections that stay open and are used once a second,
 * new ones at a rate, and UDP clients that keep their ports. Started with IPC; each message is answered by one.
 */
import { createSocket } from 'node:dgram'
import type { Socket as UdpSocket } from 'node:dgram'
import { connect, createServer } from 'node:net'
import type { Socket } from 'node:net'

export type LoadCommand =
  /** TCP and UDP on one port; a UDP answer is the name. */
  | { readonly kind: 'serve'; readonly port: number; readonly name: string; readonly udpAddress: string }
  | { readonly kind: 'load'; readonly address: string; readonly port: number; readonly open: number; readonly perSecond: number }
  | { readonly kind: 'udp'; readonly address: string; readonly port: number; readonly clients: number; readonly everyMs: number }
  | { readonly kind: 'result' }
  | { readonly kind: 'udpState' }

export interface LoadResult {
  /** Connections that were made and answered. */
  readonly connects: number
  readonly open: number
  /** Errors by their code: of new connections, and of those that were open. */
  readonly failures: Readonly<Record<string, number>>
}

/** Of each UDP client: who answered last, since when it is that one, and when (milliseconds since the epoch). */
export type UdpState = readonly { readonly server: string; readonly since: number; readonly last: number }[]

const failures: Record<string, number> = {}
let connects = 0
let running = false
const open: Socket[] = []
const udp: { server: string; since: number; last: number; socket: UdpSocket }[] = []
const connectMsMax = 3000

const fail = (what: string): void => void (failures[what] = (failures[what] ?? 0) + 1)

function serve({ port, name, udpAddress }: Extract<LoadCommand, { kind: 'serve' }>): Promise<void> {
  const socket = createSocket('udp4')
  socket.on('message', (_, { port: to, address }) => socket.send(name, to, address))
  socket.bind(port, udpAddress)
  const server = createServer((client) => {
    client.on('error', () => client.destroy())
    client.on('data', (data) => client.write(data))
    client.write('!')
  })
  return new Promise((resolve) => void server.listen({ port, host: '0.0.0.0', backlog: 4096 }, resolve))
}

/** A new connection, closed when it was greeted; by a reset, so that no port is kept waiting. */
function once(address: string, port: number): void {
  const socket = connect({ host: address, port })
  const timer = setTimeout(() => {
    fail('connect: no answer')
    socket.destroy()
  }, connectMsMax)
  socket.once('data', () => {
    clearTimeout(timer)
    connects += 1
    socket.resetAndDestroy()
  })
  socket.once('error', (error: NodeJS.ErrnoException) => {
    clearTimeout(timer)
    fail(`connect: ${error.code ?? error.message}`)
  })
}

function stay(address: string, port: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port })
    open.push(socket)
    socket.once('data', () => resolve())
    socket.on('data', () => void socket.setTimeout(0))
    socket.on('error', (error: NodeJS.ErrnoException) => fail(`open: ${error.code ?? error.message}`))
    socket.on('end', () => fail('open: closed'))
    socket.on('timeout', () => fail('open: no answer'))
  })
}

async function load({ address, port, open: count, perSecond }: Extract<LoadCommand, { kind: 'load' }>): Promise<void> {
  for (let at = 0; at < count; at += 100) await Promise.all(Array.from({ length: Math.min(100, count - at) }, () => stay(address, port)))
  running = true
  const began = performance.now()
  let made = 0
  const beat = setInterval(() => {
    if (!running) return clearInterval(beat)
    const due = Math.floor(((performance.now() - began) / 1000) * perSecond)
    // what a stalled processor left undone is not caught up at once
    if (due - made > perSecond / 4) made = due - Math.floor(perSecond / 4)
    for (; made < due; made += 1) once(address, port)
  }, 5)
  const speak = setInterval(() => {
    if (!running) return clearInterval(speak)
    for (const socket of open) {
      socket.setTimeout(connectMsMax)
      socket.write('?')
    }
  }, 1000)
}

function startUdp({ address, port, clients, everyMs }: Extract<LoadCommand, { kind: 'udp' }>): void {
  for (let at = 0; at < clients; at += 1) {
    const socket = createSocket('udp4')
    const state = { server: '', since: 0, last: 0, socket }
    udp.push(state)
    socket.on('error', () => undefined)
    socket.on('message', (message) => {
      state.last = Date.now()
      if (String(message) === state.server) return
      state.server = String(message)
      state.since = state.last
    })
    socket.bind(20_000 + at, () => setInterval(() => socket.send('?', port, address), everyMs))
  }
}

async function result(): Promise<LoadResult> {
  running = false
  const stayed = open.filter((socket) => !socket.destroyed).length
  await new Promise((resolve) => setTimeout(resolve, 500))
  return { connects, open: stayed, failures }
}

async function obey(command: LoadCommand): Promise<unknown> {
  switch (command.kind) {
    case 'serve': return serve(command)
    case 'load': return load(command)
    case 'udp': return startUdp(command)
    case 'result': return result()
    case 'udpState': return udp.map(({ server, since, last }) => ({ server, since, last }))
  }
}

process.on('message', (command: LoadCommand) => void obey(command).then((answer) => process.send?.({ answer })))
process.on('disconnect', () => process.exit())
