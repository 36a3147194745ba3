/**
 * What runs in a network namespace of a test: serves and calls over TCP and UDP as its parent tells it. A server greets with its name
 * and with the address that it sees the client come from, then echoes.
 */
import { createSocket } from 'node:dgram'
import type { Socket as UdpSocket } from 'node:dgram'
import { connect, createServer } from 'node:net'
import type { Server, Socket } from 'node:net'

export type Command =
  | { readonly kind: 'serve'; readonly protocol: 'tcp' | 'udp'; readonly name: string; readonly port: number; readonly address?: string }
  | { readonly kind: 'unserve'; readonly port: number }
  /** Answers what was heard, or the error's code. */
  | { readonly kind: 'call'; readonly protocol: 'tcp' | 'udp' | 'http'; readonly address: string; readonly port: number; readonly source?: string; readonly sourcePort?: number; readonly timeoutMs?: number }
  /** Opens a connection that stays, under a name. */
  | { readonly kind: 'open'; readonly name: string; readonly address: string; readonly port: number }
  | { readonly kind: 'say'; readonly name: string; readonly text: string }

const servers = new Map<number, Server | UdpSocket>()
const connections = new Map<string, Socket>()
const udpClients = new Map<number, UdpSocket>()

const plain = (address = ''): string => address.replace(/^::ffff:/, '')

function serve({ protocol, name, port, address = '::' }: Extract<Command, { kind: 'serve' }>): Promise<string> {
  return new Promise((resolve, reject) => {
    if (protocol === 'tcp') {
      const server = createServer((socket) => {
        socket.on('error', () => socket.destroy())
        socket.write(`${name} ${plain(socket.remoteAddress)}\n`)
        socket.on('data', (data) => socket.write(data))
      })
      server.once('error', reject)
      servers.set(port, server.listen(port, address, () => resolve('')))
      return
    }
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
    socket.on('message', (_, { address: from, port: fromPort }) => socket.send(`${name} ${plain(from)}`, fromPort, from))
    socket.once('error', reject)
    servers.set(port, socket.bind(port, address, () => resolve('')))
  })
}

function heard(socket: Socket, timeoutMs: number): Promise<string> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve('timeout'), timeoutMs)
    const done = (text: string): void => {
      clearTimeout(timer)
      resolve(text)
    }
    socket.once('data', (data) => done(String(data).trim()))
    socket.once('error', (error: NodeJS.ErrnoException) => done(error.code ?? 'error'))
    socket.once('close', () => done('closed'))
  })
}

async function callTcp({ address, port, source, sourcePort, timeoutMs = 1500 }: Extract<Command, { kind: 'call' }>): Promise<string> {
  const socket = connect({ host: address, port, ...(source === undefined ? {} : { localAddress: source }), ...(sourcePort === undefined ? {} : { localPort: sourcePort }) })
  const text = await heard(socket, timeoutMs)
  socket.on('error', () => socket.destroy())
  socket.destroy()
  return text
}

/** A source port that is given is kept open, as a resolver's or a game's may be. */
async function callUdp({ address, port, source, sourcePort, timeoutMs = 1500 }: Extract<Command, { kind: 'call' }>): Promise<string> {
  const kept = sourcePort === undefined ? undefined : udpClients.get(sourcePort)
  const socket = kept ?? createSocket(address.includes(':') ? 'udp6' : 'udp4')
  if (kept === undefined) {
    await new Promise<void>((resolve) => socket.bind(sourcePort ?? 0, source, () => resolve()))
    if (sourcePort !== undefined) udpClients.set(sourcePort, socket)
    await new Promise<void>((resolve) => socket.connect(port, address, () => resolve()))
  }
  const answer = await new Promise<string>((resolve) => {
    const timer = setTimeout(() => resolve('timeout'), timeoutMs)
    const done = (text: string): void => {
      clearTimeout(timer)
      socket.removeAllListeners()
      resolve(text)
    }
    socket.once('message', (message) => done(String(message)))
    socket.once('error', (error: NodeJS.ErrnoException) => done(error.code ?? 'error'))
    socket.send('hello')
  })
  if (sourcePort === undefined) socket.close()
  return answer
}

async function callHttp({ address, port, timeoutMs = 1500 }: Extract<Command, { kind: 'call' }>): Promise<string> {
  try {
    const response = await fetch(`http://${address}:${port}/`, { signal: AbortSignal.timeout(timeoutMs) })
    return `${response.status} ${await response.text()}`
  } catch (error) {
    const { cause, name } = error as Error
    return (cause as NodeJS.ErrnoException | undefined)?.code ?? name
  }
}

async function obey(command: Command): Promise<string> {
  switch (command.kind) {
    case 'serve': return serve(command)
    case 'unserve': {
      servers.get(command.port)?.close()
      servers.delete(command.port)
      return ''
    }
    case 'call': return command.protocol === 'http' ? callHttp(command) : command.protocol === 'tcp' ? callTcp(command) : callUdp(command)
    case 'open': {
      const socket = connect({ host: command.address, port: command.port })
      connections.set(command.name, socket)
      return heard(socket, 1500)
    }
    case 'say': {
      const socket = connections.get(command.name)
      if (socket === undefined || socket.destroyed) return 'closed'
      const answer = heard(socket, 1500)
      socket.write(command.text)
      return answer
    }
  }
}

process.on('message', ({ id, command }: { id: number; command: Command }) => {
  obey(command).then((answer) => process.send?.({ id, answer }), (error: Error) => process.send?.({ id, answer: `failed: ${error.message}` }))
})
process.on('disconnect', () => process.exit())
