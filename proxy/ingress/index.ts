/** A small ingress controller: HTTP by host and path to the endpoints of services, fed by the proxy's own watch. */
import { Agent, STATUS_CODES, createServer } from 'node:http'
import type { ClientRequest, IncomingMessage, Server as HttpServer, ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { createServer as createNetServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import { createSecureContext } from 'node:tls'
import type { SecureContext } from 'node:tls'
import { createProxyServer } from 'http-proxy-3'
import type { Client } from '../../api/client.ts'
import type { Clock, Random } from '../../api/clock.ts'
import type { InformerSet } from '../../api/informer-set.ts'
import type { Informer } from '../../api/informer.ts'
import type { Logger } from '../../api/log.ts'
import { ingresses, services } from '../../api/resources.ts'
import type { EndpointSlice, Service } from '../../api/types.ts'
import { candidatesOf, chooseAnywhere } from '../endpoints.ts'
import type { Place } from '../endpoints.ts'
import { families } from '../families.ts'
import { isOurs, namesOf, route, routesOf } from './routes.ts'
import type { Backend, Ingress, Routes } from './routes.ts'
import { TlsSecrets } from './tls-secrets.ts'

export interface IngressOptions {
  readonly client: Client
  readonly informers: InformerSet
  /** Slices of a service, by `namespace/name`. */
  readonly slicesOf: (service: string) => readonly EndpointSlice[]
  readonly place: () => Place
  /** Addresses of the node, told to the ingresses where `listen` names no address of its own. */
  readonly addresses: () => readonly string[]
  /** HTTP and TLS are told apart by what the client says first, so each address serves both. */
  readonly listen: readonly { readonly address: string; readonly port: number }[]
  /** For tests. */
  readonly headMs?: number | undefined
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}

/** An endpoint that has not taken the connection by then is given up; kernels try for two minutes. */
const connectMsMax = 5_000
/** How long a client may take to say its first byte, to agree on TLS, and to send the head of a request. */
const headMsMax = 10_000
/** The first byte of a TLS record that holds a handshake (RFC 8446, 5.1). */
const tlsHandshake = 0x16

export class IngressController {
  readonly #options: IngressOptions
  readonly #ingresses: Informer<Ingress>
  readonly #secrets: TlsSecrets
  readonly #services: Informer<Service>
  readonly #listeners: Server[] = []
  readonly #sockets = new Set<Socket>()
  readonly #agent = new Agent({ keepAlive: true })
  readonly #proxy = createProxyServer({ xfwd: true, agent: this.#agent })
  readonly #plain: HttpServer
  readonly #tls: HttpServer
  /** Certificates as they were read, by `namespace/name` and resourceVersion. */
  readonly #contexts = new Map<string, { readonly version: string | undefined; readonly context: SecureContext }>()
  #routes: Routes | undefined
  #looksSoon = false

  /** Asks for what it watches; to be made before the informers start. */
  constructor(options: IngressOptions) {
    this.#options = options
    const { headMs = headMsMax } = options
    // A body may take as long as it is.
    const patience = { headersTimeout: headMs, requestTimeout: 0, connectionsCheckingInterval: headMs / 10 }
    this.#plain = createServer(patience, (request, response) => this.#web(request, response))
    this.#tls = createTlsServer({ ...patience, handshakeTimeout: headMs, SNICallback: (name, done) => this.#certificate(name, done) }, (request, response) => this.#web(request, response))
    this.#ingresses = options.informers.informer(ingresses) as unknown as Informer<Ingress>
    this.#secrets = new TlsSecrets(options.client, options)
    this.#services = options.informers.informer(services)
    this.#proxy.on('proxyReq', (outgoing) => connectSoon(outgoing))
    this.#proxy.on('proxyReqWs', (outgoing) => connectSoon(outgoing))
    for (const server of [this.#plain, this.#tls]) {
      server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => this.#upgrade(request, socket, head))
      // Their connections come from listeners of our own; only servers that listen look after slow clients.
      server.emit('listening')
    }
  }

  /** Where it listens, as `192.0.2.1:80`. */
  get listening(): string[] {
    return this.#listeners.map((listener) => {
      const { address, port, family } = listener.address() as AddressInfo
      return family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`
    })
  }

  /** Serves when the ingresses are known, or must not be: services are served all the same. */
  async start(): Promise<void> {
    await this.#ingresses.settled
    for (const { address, port } of this.#options.listen) this.#listeners.push(await this.#listen(address, port))
    this.#ingresses.onChange(({ new: ingress }) => {
      this.#changed()
      if (ingress !== undefined && isOurs(ingress)) void this.#tell(ingress)
    })
  }

  /** Looked at once for all that changes in one turn. */
  #changed(): void {
    this.#routes = undefined
    if (this.#looksSoon) return
    this.#looksSoon = true
    queueMicrotask(() => {
      this.#looksSoon = false
      this.#secrets.follow(new Set(this.#currentRoutes().certificates.values()))
    })
  }

  async stop(): Promise<void> {
    this.#secrets.stop()
    await Promise.all(this.#listeners.map((listener) => new Promise<void>((resolve) => {
      listener.close(() => resolve())
      for (const socket of this.#sockets) socket.destroy()
    })))
    for (const server of [this.#plain, this.#tls]) server.close()
    this.#agent.destroy()
    this.#proxy.close()
  }

  #listen(address: string, port: number): Promise<Server> {
    const listener = createNetServer((socket) => this.#accept(socket))
    return new Promise((resolve, reject) => {
      listener.once('error', (error) => reject(new Error(`Cannot serve ingresses on ${address} port ${port}: ${error.message}`, { cause: error })))
      listener.listen({ host: address, port }, () => resolve(listener))
    })
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    const timer = setTimeout(() => socket.destroy(), this.#options.headMs ?? headMsMax)
    socket.once('data', (data) => {
      clearTimeout(timer)
      socket.pause()
      socket.unshift(data)
      const server = data[0] === tlsHandshake ? this.#tls : this.#plain
      server.emit('connection', socket)
      process.nextTick(() => socket.resume())
    })
    socket.once('close', () => clearTimeout(timer))
  }

  #certificate(name: string, done: (error: Error | null, context?: SecureContext) => void): void {
    const { certificates } = this.#currentRoutes()
    const secret = namesOf(name).map((host) => certificates.get(host)).find((found) => found !== undefined)
    try {
      const context = secret === undefined ? undefined : this.#context(secret)
      if (context === undefined) done(new Error(`no certificate for ${name}`))
      else done(null, context)
    } catch (error) {
      this.#options.log.warn('cannot use the certificate of a secret', { secret, error })
      done(error as Error)
    }
  }

  #context(key: string): SecureContext | undefined {
    const secret = this.#secrets.get(key)
    const [certificate, privateKey] = ['tls.crt', 'tls.key'].map((name) => secret?.data?.[name])
    if (certificate === undefined || privateKey === undefined) return undefined
    const version = secret?.metadata.resourceVersion
    const present = this.#contexts.get(key)
    if (present !== undefined && present.version === version) return present.context
    const context = createSecureContext({ cert: Buffer.from(certificate, 'base64'), key: Buffer.from(privateKey, 'base64') })
    this.#contexts.set(key, { version, context })
    return context
  }

  #currentRoutes(): Routes {
    return (this.#routes ??= routesOf(this.#ingresses.list()))
  }

  #web(request: IncomingMessage, response: ServerResponse): void {
    const backend = route(this.#currentRoutes(), request.headers.host, request.url ?? '/')
    const target = backend && this.#target(backend)
    if (backend === undefined || target === undefined) {
      response.writeHead(backend === undefined ? 404 : 503, { 'content-type': 'text/plain' }).end(backend === undefined ? 'no ingress has this host and path\n' : `service ${backend.namespace}/${backend.service} has no endpoints\n`)
      return
    }
    this.#proxy.web(request, response, { target }, (error) => {
      if (response.headersSent) response.destroy()
      else response.writeHead(statusOf(error), { 'content-type': 'text/plain' }).end(`${backend.namespace}/${backend.service}: ${error.message}\n`)
    })
  }

  #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    const backend = route(this.#currentRoutes(), request.headers.host, request.url ?? '/')
    const target = backend && this.#target(backend)
    const refuse = (status: number): void => void socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
    if (target === undefined) return refuse(backend === undefined ? 404 : 503)
    // Once it is open, no HTTP may be written into it.
    const before = socket.bytesWritten
    this.#proxy.ws(request, socket, head, { target, agent: undefined as never }, (error) => (socket.bytesWritten === before ? refuse(statusOf(error)) : socket.destroy()))
  }

  /** One of the endpoints, at random; `undefined`: there is none. */
  #target({ namespace, service: name, port: wanted }: Backend): string | undefined {
    const key = `${namespace}/${name}`
    const port = this.#services.getByKey(key)?.spec.ports?.find((each) => each.port === wanted || each.name === wanted)
    if (port === undefined) return undefined
    const place = this.#options.place()
    const endpoints = families.flatMap((family) => chooseAnywhere(candidatesOf(this.#options.slicesOf(key), { name: port.name ?? '', protocol: 'TCP' }, family, { place, onProblem: () => undefined }), place).endpoints)
    const chosen = endpoints[Math.floor(this.#options.random() * endpoints.length)]
    if (chosen === undefined) return undefined
    return `http://${chosen.address.includes(':') ? `[${chosen.address}]` : chosen.address}:${chosen.port}`
  }

  /** Adds where this node listens to `status.loadBalancer`; what other nodes wrote stays. */
  async #tell(ingress: Ingress): Promise<void> {
    const { client, listen, addresses, log } = this.#options
    const own = listen.flatMap(({ address }) => (address === '0.0.0.0' || address === '::' ? addresses() : [address]))
    const present = ingress.status?.loadBalancer?.ingress ?? []
    const missing = [...new Set(own)].filter((ip) => !present.some((one) => one.ip === ip))
    if (missing.length === 0) return
    try {
      // With the version that was seen: what another node wrote meanwhile comes by the watch, and this is tried again then.
      await client.updateStatus(ingresses, { ...ingress, status: { ...ingress.status, loadBalancer: { ingress: [...present, ...missing.map((ip) => ({ ip }))] } } })
    } catch (error) {
      log.debug('cannot write where an ingress is served', { ingress: `${ingress.metadata.namespace ?? ''}/${ingress.metadata.name ?? ''}`, error })
    }
  }
}

function connectSoon(outgoing: ClientRequest): void {
  const watch = (socket: Socket): void => {
    if (!socket.connecting) return
    const timer = setTimeout(() => outgoing.destroy(Object.assign(new Error(`no connection within ${connectMsMax / 1000} s`), { code: 'ETIMEDOUT' })), connectMsMax)
    for (const event of ['connect', 'close']) socket.once(event, () => clearTimeout(timer))
  }
  if (outgoing.socket === null) outgoing.once('socket', watch)
  else watch(outgoing.socket)
}

/** Of an endpoint that could not be reached. */
function statusOf(error: NodeJS.ErrnoException): 502 | 504 {
  return error.code === 'ETIMEDOUT' ? 504 : 502
}
