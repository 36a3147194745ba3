/** The kubelet's HTTPS server: logs, exec, attach and port-forward for the API server, and for nobody else. */
import { STATUS_CODES } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import type { Pod, Status } from '../../api/types.ts'
import type { KubeletOptions, KubeletServerOptions } from '../options.ts'
import type { StreamOptions, StreamSession } from '../runtime/runtime.ts'
import { channelProtocols, joinSession, refuseSession, spdyProtocols } from './channels.ts'
import { parseLogQuery, writeLogs } from './logs.ts'
import { PodLookup, RequestError } from './pod-lookup.ts'
import { forwardChannels, forwardTunnel } from './port-forward.ts'
import { acceptSpdy, bytesOf, chooseVersion, isSpdy, SpdyChannels } from './spdy-upgrade.ts'
import { statsSummary } from './stats.ts'
import { acceptWebSocket, chooseProtocol, isWebSocket, refuseUpgrade, tunnelProtocol } from './web-socket.ts'

export interface ServerOptions {
  readonly kubelet: KubeletOptions
  readonly listen: KubeletServerOptions
  readonly pod: (namespace: string, name: string) => Pod | undefined
  readonly pods: () => readonly Pod[]
}

export interface KubeletServer {
  readonly port: number
  stop(): Promise<void>
}

/** The group whose client certificates may ask for anything. */
const allowedGroup = 'system:masters'
/** Of port-forwarding over SPDY. */
const forwardVersion = 'portforward.k8s.io'

export async function startServer(options: ServerOptions): Promise<KubeletServer> {
  const server = new KubeletHttps(options)
  await server.listen()
  return server
}

interface Target {
  readonly verb: string
  readonly path: readonly string[]
  readonly query: URLSearchParams
}

function targetOf({ url = '/' }: IncomingMessage): Target {
  const { pathname, searchParams } = new URL(url, 'https://kubelet')
  const [verb = '', ...path] = pathname.slice(1).split('/').map(decodeURIComponent)
  return { verb, path, query: searchParams }
}

/** `ports=80&ports=81`, as the API names them, or one list with commas. */
function portsOf(query: URLSearchParams): number[] {
  return query.getAll('ports').flatMap((list) => list.split(',')).map(Number)
}

/** Which streams a session is to have. */
function streamsOf(query: URLSearchParams): StreamOptions {
  const isSet = (key: string): boolean => ['1', 'true'].includes(query.get(key) ?? '')
  return { stdin: isSet('input'), stdout: isSet('output'), stderr: isSet('error'), tty: isSet('tty') }
}

/** The subprotocol that both sides speak over WebSocket. */
function protocolOf(request: IncomingMessage, served: readonly string[]): string {
  if (!isWebSocket(request)) throw new RequestError(400, 'BadRequest', 'only upgrades to WebSocket and SPDY/3.1 are served')
  const protocol = chooseProtocol(request, served)
  if (protocol === undefined) throw new RequestError(400, 'BadRequest', `none of the offered subprotocols is served: ${served.join(', ')} are`)
  return protocol
}

function isAllowed(socket: TLSSocket): boolean {
  // Types say a string; a subject with two organizations has a list.
  const groups: unknown = socket.getPeerCertificate().subject?.O
  return socket.authorized && [groups].flat().includes(allowedGroup)
}

function statusOf(error: unknown): Status & { readonly code: number } {
  const { code, reason, message } = error instanceof RequestError ? error : { code: 500, reason: 'InternalError', message: (error as Error).message }
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, code }
}

class KubeletHttps implements KubeletServer {
  readonly #options: ServerOptions
  readonly #lookup: PodLookup
  readonly #server: Server
  readonly #upgraded = new Set<Duplex>()

  constructor(options: ServerOptions) {
    this.#options = options
    this.#lookup = new PodLookup({ runtime: options.kubelet.runtime, pod: options.pod })
    const { key, certificate, clientCa } = options.listen
    this.#server = createServer({ key, cert: certificate, ca: clientCa, requestCert: true, rejectUnauthorized: true })
    this.#server.on('request', (request, response) => void this.#answer(request, response))
    this.#server.on('upgrade', (request, socket, head) => void this.#upgrade(request, socket, head))
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  listen(): Promise<void> {
    const { address, port } = this.#options.listen
    return new Promise((resolve, reject) => {
      this.#server.once('error', (error) => reject(new Error(`Cannot listen on ${address} port ${port}: ${error.message}`, { cause: error })))
      this.#server.listen(port, address, () => resolve())
    })
  }

  stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeAllConnections()
    for (const socket of this.#upgraded) socket.destroy()
    return closed
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      if (!isAllowed(request.socket as TLSSocket)) throw new RequestError(403, 'Forbidden', `only clients of group ${allowedGroup} are let in`)
      await this.#serve(targetOf(request), response)
    } catch (error) {
      const status = statusOf(error)
      if (response.headersSent) response.destroy()
      else response.writeHead(status.code, { 'content-type': 'application/json' }).end(JSON.stringify(status))
    }
  }

  async #serve({ verb, path, query }: Target, response: ServerResponse): Promise<void> {
    const { kubelet: { runtime, clock, nodeName }, pods } = this.#options
    if (verb === 'healthz') return void response.writeHead(200, { 'content-type': 'text/plain' }).end('ok')
    if (verb === 'stats' && path[0] === 'summary') {
      const summary = await statsSummary({ runtime, nodeName, pods: pods(), nowMs: clock.now() })
      return void response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(summary))
    }
    if (verb === 'containerLogs' && path.length === 3) {
      const [namespace = '', name = '', container = ''] = path
      const logs = parseLogQuery(query, clock.now())
      const { id } = await this.#lookup.withLogs(this.#lookup.pod(namespace, name), container, logs.previous)
      return writeLogs(runtime, id, logs, response)
    }
    if (['exec', 'attach', 'portForward'].includes(verb)) throw new RequestError(400, 'BadRequest', `${verb} needs an upgrade to WebSocket or SPDY/3.1`)
    throw new RequestError(404, 'NotFound', 'the kubelet has no such path')
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    this.#upgraded.add(socket)
    socket.on('close', () => this.#upgraded.delete(socket))
    socket.on('error', () => socket.destroy())
    try {
      if (!isAllowed(request.socket as TLSSocket)) throw new RequestError(403, 'Forbidden', `only clients of group ${allowedGroup} are let in`)
      const target = targetOf(request)
      await (target.verb === 'portForward' ? this.#forwardPorts(target, request, socket, head) : this.#joinContainer(target, request, socket, head))
    } catch (error) {
      const status = statusOf(error)
      if (socket.writable) await refuseUpgrade(socket, status.code, STATUS_CODES[status.code] ?? '', JSON.stringify(status))
    }
  }

  async #forwardPorts({ path: [namespace = '', name = ''], query }: Target, request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const { runtime, log } = this.#options.kubelet
    // Before the protocol: a client that is refused tries another, and shows what it hears last.
    const { id } = await this.#lookup.sandbox(this.#lookup.pod(namespace, name))
    const connect = (port: number): Promise<Duplex> => runtime.portForward(id, port)
    if (isSpdy(request)) {
      acceptSpdy(socket, head, chooseVersion(request, [forwardVersion]))
      return forwardTunnel(bytesOf(socket), connect, log)
    }
    const protocol = protocolOf(request, [tunnelProtocol, ...channelProtocols])
    const connection = await acceptWebSocket(request, socket, head, protocol)
    await (protocol === tunnelProtocol ? forwardTunnel(connection, connect, log) : forwardChannels(connection, portsOf(query), connect))
  }

  async #joinContainer(target: Target, request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    if (target.verb !== 'exec' && target.verb !== 'attach') throw new RequestError(404, 'NotFound', 'the kubelet has no such path')
    if (isSpdy(request)) return this.#joinOverSpdy(target, request, socket, head)
    const protocol = protocolOf(request, channelProtocols)
    const session = await this.#session(target).catch(statusOf)
    const connection = await acceptWebSocket(request, socket, head, protocol)
    await ('status' in session ? refuseSession(connection, protocol, session) : joinSession(connection, protocol, session))
  }

  async #joinOverSpdy(target: Target, request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const version = chooseVersion(request, spdyProtocols)
    const wanted = streamsOf(target.query)
    const hasResize = wanted.tty && /^v[34]\./.test(version)
    const expected = [wanted.stdin && 'stdin', wanted.stdout && 'stdout', wanted.stderr && !wanted.tty && 'stderr', 'error', hasResize && 'resize'] as const
    // What cannot begin is refused like every request.
    const session = await this.#session(target)
    acceptSpdy(socket, head, version)
    await joinSession(new SpdyChannels(socket, expected.filter((name) => name !== false), this.#options.kubelet.clock), version, session)
  }

  async #session({ verb, path: [namespace = '', name = '', container = ''], query }: Target): Promise<StreamSession> {
    const { runtime } = this.#options.kubelet
    const pod = this.#lookup.pod(namespace, name)
    const { id } = await this.#lookup.running(pod, container)
    const streams = streamsOf(query)
    if (verb === 'exec') return runtime.exec(id, query.getAll('command'), streams)
    return runtime.attach(id, { ...streams, tty: this.#lookup.container(pod, container).tty === true })
  }
}
