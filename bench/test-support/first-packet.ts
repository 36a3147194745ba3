/** The client and the server of `proxy-traffic`, in the namespace it runs in; told by IPC what to do. */
import { createSocket } from 'node:dgram'
import { connect, createServer } from 'node:net'

export type Asked =
  | { readonly kind: 'serve'; readonly address: string; readonly port: number }
  | { readonly kind: 'measure'; readonly address: string; readonly port: number; readonly packets: number; readonly connects: number }

export interface Measured {
  /** From a new socket's first packet to its answer. */
  readonly latenciesUs: readonly number[]
  readonly connectsPerSecond: number
}

/** New connections under way at once. */
const inFlight = 32

async function serve(address: string, port: number): Promise<boolean> {
  const udp = createSocket('udp4')
  udp.on('message', (message, from) => udp.send(message, from.port, from.address))
  await new Promise<void>((resolve) => void udp.bind(port, address, resolve))
  const tcp = createServer((socket) => {
    socket.on('error', () => socket.destroy())
    socket.end()
  })
  await new Promise<void>((resolve) => void tcp.listen({ port, host: address, backlog: 4096 }, resolve))
  return true
}

async function firstPacket(address: string, port: number): Promise<number> {
  const socket = createSocket('udp4')
  await new Promise<void>((resolve) => void socket.bind(0, resolve))
  const began = process.hrtime.bigint()
  const answered = new Promise<bigint>((resolve) => socket.once('message', () => resolve(process.hrtime.bigint())))
  socket.send('?', port, address)
  const us = Number((await answered) - began) / 1000
  socket.close()
  return us
}

function connectOnce(address: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port })
    socket.once('connect', () => {
      socket.resetAndDestroy()
      resolve()
    })
    socket.once('error', reject)
  })
}

async function measure({ address, port, packets, connects }: Extract<Asked, { kind: 'measure' }>): Promise<Measured> {
  const latenciesUs: number[] = []
  for (let packet = 0; packet < packets; packet += 1) latenciesUs.push(await firstPacket(address, port))
  let left = connects
  const began = performance.now()
  await Promise.all(Array.from({ length: inFlight }, async () => {
    for (; left > 0; left -= 1) await connectOnce(address, port)
  }))
  return { latenciesUs, connectsPerSecond: connects / ((performance.now() - began) / 1000) }
}

process.on('message', (asked: Asked) => void (asked.kind === 'serve' ? serve(asked.address, asked.port) : measure(asked)).then((answer) => process.send?.(answer)))
process.on('disconnect', () => process.exit())
