/**
 * One address before several API servers: passes connections on to one that is ready, and cuts those to one that is no longer, so that clients
 * connect anew. It looks into nothing: TLS is between client and server.
 */
import { createServer, connect } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import { request } from 'node:https'
import type { Clock } from '../../api/clock.ts'
import type { Component } from '../../api/component.ts'
import type { Logger } from '../../api/log.ts'

export interface BalancerOptions {
  readonly listen: readonly { readonly address: string; readonly port: number }[]
  /** Such as https://192.0.2.1:6443. */
  readonly servers: readonly string[]
  readonly clock: Clock
  readonly log: Logger
}

export interface Balancer extends Component {
  /** Where it listens, in the order of `listen`. */
  readonly ports: readonly number[]
}

const probeEveryMs = 1000
/** Of a connection that is made, and of an answer to /readyz: a host that lost its plug says nothing at all. */
const connectTimeoutMs = 1000
const probeTimeoutMs = 2000

/** Listens, and resolves when it does. */
export async function startBalancer({ listen, servers, clock, log }: BalancerOptions): Promise<Balancer> {
  const backends = servers.map((url) => new Backend(url))
  const sockets = new Set<Socket>()
  let turn = 0
  const accept = (client: Socket): void => {
    sockets.add(client)
    client.once('close', () => sockets.delete(client))
    // In turn among those that are ready; the others may be by now, if there are none.
    const order = backends.map((_, i) => backends[(turn + i) % backends.length] as Backend).sort((a, b) => Number(b.isReady) - Number(a.isReady))
    turn = (turn + 1) % backends.length
    void passOn(client, order)
  }
  const doors = await Promise.all(listen.map((place) => listening(createServer(accept), place)))
  const stopping = new AbortController()
  const probing = backends.map((backend) => probeAgainAndAgain(backend, clock, log, stopping.signal))
  const { promise: done, resolve } = Promise.withResolvers<void>()
  return {
    ports: doors.map((door) => (door.address() as AddressInfo).port),
    done,
    stop: async () => {
      stopping.abort()
      for (const door of doors) door.close()
      for (const socket of sockets) socket.destroy()
      await Promise.all(probing)
      resolve()
    },
  }
}

class Backend {
  readonly url: string
  readonly host: string
  readonly port: number
  /** Until the first probe says otherwise. */
  isReady = true
  readonly connections = new Set<Socket>()

  constructor(url: string) {
    const { hostname, port } = new URL(url)
    this.url = url
    this.host = hostname.replace(/^\[|\]$/g, '')
    this.port = port === '' ? 443 : Number(port)
  }
}

async function passOn(client: Socket, order: readonly Backend[]): Promise<void> {
  client.on('error', () => client.destroy())
  client.setNoDelay(true)
  for (const backend of order) {
    const onward = await connected(backend)
    if (onward === undefined) continue
    if (client.destroyed) return void onward.destroy()
    onward.setNoDelay(true)
    onward.setKeepAlive(true, 15_000)
    backend.connections.add(onward)
    client.once('close', () => onward.destroy())
    onward.once('close', () => (backend.connections.delete(onward), client.destroy()))
    client.pipe(onward)
    onward.pipe(client)
    return
  }
  client.destroy()
}

function connected({ host, port }: Backend): Promise<Socket | undefined> {
  const socket = connect({ host, port })
  return new Promise((resolve) => {
    const fail = (): void => {
      socket.destroy()
      resolve(undefined)
    }
    socket.setTimeout(connectTimeoutMs, fail)
    // Later failures are told by its close.
    socket.on('error', fail)
    socket.once('connect', () => {
      socket.setTimeout(0)
      resolve(socket)
    })
  })
}

async function probeAgainAndAgain(backend: Backend, clock: Clock, log: Logger, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const wasReady = backend.isReady
    backend.isReady = await isReady(backend)
    if (wasReady !== backend.isReady && !signal.aborted) log.info(backend.isReady ? 'an API server is ready' : 'an API server is not ready', { server: backend.url })
    if (!backend.isReady) for (const connection of backend.connections) connection.destroy()
    try {
      await clock.sleep(probeEveryMs, signal)
    } catch (error) {
      if (!signal.aborted) throw error
    }
  }
}

/** No secret is sent, so who answers need not be proved: clients will see for themselves. */
function isReady({ url }: Backend): Promise<boolean> {
  return new Promise((resolve) => {
    const asking = request(new URL('/readyz', url), { rejectUnauthorized: false, agent: false, timeout: probeTimeoutMs }, (response) => {
      response.resume()
      resolve(response.statusCode === 200)
    })
    asking.on('timeout', () => asking.destroy(new Error('no answer in time')))
    asking.on('error', () => resolve(false))
    asking.end()
  })
}

function listening(server: Server, { address, port }: BalancerOptions['listen'][number]): Promise<Server> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(new Error(`Cannot listen on ${address} port ${port}: ${error.message}`, { cause: error })))
    server.listen({ host: address, port }, () => resolve(server))
  })
}
