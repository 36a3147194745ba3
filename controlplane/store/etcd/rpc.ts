// Calls to an etcd cluster: one client an endpoint, the next one when the one in use is gone or has no leader.
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { checkServerIdentity } from 'node:tls'
import { Client, credentials, Metadata, status } from '@grpc/grpc-js'
import type { ChannelCredentials, ClientDuplexStream, ServiceError } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import type { MethodDefinition, ServiceDefinition } from '@grpc/proto-loader'
import type { Clock } from '../../../api/clock.ts'
import { StoreError } from '../store.ts'
import type { StoreErrorCode } from '../store.ts'

export interface EtcdTls {
  /** PEM files, as kube-apiserver's --etcd-cafile, --etcd-certfile and --etcd-keyfile. */
  readonly caFile?: string
  readonly certFile?: string
  readonly keyFile?: string
}

const attemptMs = 5000
/** How long a call goes on trying before it says that etcd is not there. */
const patienceMs = 15_000
const pauseMs = 25
const pauseMaxMs = 500

/** Numbers of 64 bits come as text: JavaScript's would lose digits. */
const definitions = loadSync(new URL('etcd.proto', import.meta.url).pathname, { keepCase: true, longs: String, enums: String, oneofs: true, defaults: true })

function methodOf(service: 'KV' | 'Watch' | 'Maintenance', name: string): MethodDefinition<object, object> {
  const method = (definitions[`etcdserverpb.${service}`] as ServiceDefinition)[name]
  if (method === undefined) throw new Error(`Cannot call ${service}.${name} of etcd: it is not in etcd.proto`)
  return method
}

const methods = { Range: methodOf('KV', 'Range'), Txn: methodOf('KV', 'Txn'), Compact: methodOf('KV', 'Compact'), Defragment: methodOf('Maintenance', 'Defragment') }
const watchMethod = methodOf('Watch', 'Watch')

/** A member that has lost its leader ends watches instead of keeping them silent (clientv3.WithRequireLeader). */
function requireLeader(): Metadata {
  const metadata = new Metadata()
  metadata.set('hasleader', 'true')
  return metadata
}

export class EtcdConnection {
  readonly #clients: readonly Client[]
  readonly #clock: Clock
  #current = 0
  #closed = false

  constructor(urls: readonly string[], tls: EtcdTls, clock: Clock) {
    this.#clock = clock
    this.#clients = urls.map((url) => clientOf(url, tls))
  }

  /** One call, tried again on the next endpoint while none answers. After `onRetry`, an attempt may have been carried out unheard. */
  async call<Reply>(name: keyof typeof methods, request: object, onRetry?: () => void): Promise<Reply> {
    const until = this.#clock.monotonicMs() + patienceMs
    for (let pause = pauseMs; ; pause = Math.min(pause * 2, pauseMaxMs)) {
      const endpoint = this.#current
      try {
        return await this.#once<Reply>(endpoint, name, request)
      } catch (error) {
        if (this.#closed) throw new StoreError('closed', 'Cannot use the store: it was closed')
        if (!isPassing(error as ServiceError) || this.#clock.monotonicMs() > until) throw storeErrorOf(error as ServiceError)
        this.leave(endpoint)
        onRetry?.()
      }
      await this.#clock.sleep(pause)
    }
  }

  /** The same call to every endpoint (defragmentation is each member's own). */
  async callEach(name: keyof typeof methods, request: object): Promise<void> {
    for (let endpoint = 0; endpoint < this.#clients.length; endpoint++) {
      try {
        await this.#once(endpoint, name, request, 120_000)
      } catch (error) {
        throw storeErrorOf(error as ServiceError)
      }
    }
  }

  openWatch(): { readonly endpoint: number; readonly stream: ClientDuplexStream<object, object> } {
    const { path, requestSerialize, responseDeserialize } = watchMethod
    const endpoint = this.#current
    return { endpoint, stream: this.#client(endpoint).makeBidiStreamRequest(path, requestSerialize, responseDeserialize, requireLeader(), {}) }
  }

  /** What failed at an endpoint goes to the next one, unless somebody has moved on already. */
  leave(endpoint: number): void {
    if (endpoint === this.#current) this.#current = (endpoint + 1) % this.#clients.length
  }

  close(): void {
    this.#closed = true
    for (const client of this.#clients) client.close()
  }

  #client(endpoint: number): Client {
    return this.#clients[endpoint] as Client
  }

  #once<Reply>(endpoint: number, name: keyof typeof methods, request: object, ms = attemptMs): Promise<Reply> {
    const { path, requestSerialize, responseDeserialize } = methods[name]
    return new Promise((resolve, reject) => {
      this.#client(endpoint).makeUnaryRequest(path, requestSerialize, responseDeserialize, request, requireLeader(), { deadline: Date.now() + ms }, (error, reply) => {
        if (error === null) resolve(reply as Reply)
        else reject(error)
      })
    })
  }
}

function clientOf(url: string, tls: EtcdTls): Client {
  const { protocol, host, hostname } = new URL(url)
  const address = hostname.replace(/^\[|\]$/g, '')
  if (protocol !== 'http:' && protocol !== 'https:') throw new Error(`Cannot use the etcd endpoint ${url}: it must begin with http:// or https://`)
  return new Client(host, protocol === 'https:' ? secured(tls, address) : credentials.createInsecure(), {
    // TLS names no server by its address (RFC 6066, 3); what its certificate is for is checked all the same.
    ...(protocol === 'https:' && isIP(address) !== 0 ? { 'grpc.ssl_target_name_override': 'etcd' } : {}),
    'grpc.max_receive_message_length': -1,
    'grpc.max_send_message_length': -1,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1000,
    // A member that went without a word is noticed; etcd refuses pings more often than every 5 s.
    'grpc.keepalive_time_ms': 10_000,
    'grpc.keepalive_timeout_ms': 3000,
  })
}

function secured({ caFile, certFile, keyFile }: EtcdTls, address: string): ChannelCredentials {
  const read = (file: string | undefined): Buffer | null => (file === undefined ? null : readFileSync(file))
  return credentials.createSsl(read(caFile), read(keyFile), read(certFile), { checkServerIdentity: (_name, certificate) => checkServerIdentity(address, certificate) })
}

/** Failures of the endpoint or of the moment; the next endpoint, or the same one a little later, may do it. */
function isPassing({ code, details }: ServiceError): boolean {
  return code === status.UNAVAILABLE || code === status.DEADLINE_EXCEEDED || (code === status.UNKNOWN && /leader|timed out|stopped/.test(details)) || (code === status.CANCELLED)
}

/** etcd's errors (etcdserver/api/v3rpc/rpctypes) in the store's words. */
function storeErrorOf(error: ServiceError): StoreError {
  const { code, details } = error
  const known: StoreErrorCode | undefined = /has been compacted/.test(details) ? 'compacted' : /future revision/.test(details) ? 'future' : /space exceeded/.test(details) ? 'full' : undefined
  if (known !== undefined) return new StoreError(known, `Cannot use etcd: ${details.replace(/^etcdserver: /, '')}`, { cause: error })
  const isAway = code === status.UNAVAILABLE || code === status.DEADLINE_EXCEEDED
  return new StoreError('io', isAway ? `Cannot reach etcd: ${details}; is it running, and has it a majority of its members?` : `Cannot use etcd: ${details}`, { cause: error })
}
