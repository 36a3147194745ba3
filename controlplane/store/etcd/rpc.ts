// Calls to an etcd cluster: one connection an endpoint, the next one when the one in use is gone or has no leader.
import { readFileSync } from 'node:fs'
import type { SecureClientSessionOptions } from 'node:http2'
import type { Clock } from '../../../api/clock.ts'
import { StoreError } from '../store.ts'
import type { StoreErrorCode } from '../store.ts'
import { GrpcEndpoint, GrpcError, status } from './grpc.ts'
import type { GrpcStream } from './grpc.ts'
import { methods, watchPath, watchRequest, watchResponse } from './messages.ts'
import type { WatchReply } from './messages.ts'
import type { Decoded, Sent } from './protobuf.ts'

export interface EtcdTls {
  /** PEM files, as kube-apiserver's --etcd-cafile, --etcd-certfile and --etcd-keyfile. */
  readonly caFile?: string
  readonly certFile?: string
  readonly keyFile?: string
}

const attemptMs = 5000
/** How long a call goes on trying before it says that etcd is not there. */
const patienceMs = 15_000
const defragmentMs = 120_000
const pauseMs = 25
const pauseMaxMs = 500

type Methods = typeof methods
type Request<Name extends keyof Methods> = Sent<Decoded<Methods[Name]['request']>>
type WatchWish = NonNullable<Sent<Decoded<typeof watchRequest>>['create_request']>
type Reply<Name extends keyof Methods> = Decoded<Methods[Name]['reply']>

export class EtcdConnection {
  readonly #endpoints: readonly GrpcEndpoint[]
  readonly #clock: Clock
  #current = 0
  #closed = false

  constructor(urls: readonly string[], tls: EtcdTls, clock: Clock) {
    this.#clock = clock
    const options = secured(tls)
    this.#endpoints = urls.map((url) => new GrpcEndpoint(checkedUrl(url), options, clock))
  }

  /** One call, tried again on the next endpoint while none answers. After `onRetry`, an attempt may have been carried out unheard. */
  async call<Name extends keyof Methods>(name: Name, request: Request<Name>, onRetry?: () => void): Promise<Reply<Name>> {
    const { path, request: layout, reply } = methods[name]
    const encoded = layout.encode(request)
    const until = this.#clock.monotonicMs() + patienceMs
    for (let pause = pauseMs; ; pause = Math.min(pause * 2, pauseMaxMs)) {
      if (this.#closed) throw new StoreError('closed', 'Cannot use the store: it was closed')
      const endpoint = this.#current
      try {
        return reply.decode(await this.#endpoint(endpoint).call(path, encoded, attemptMs)) as Reply<Name>
      } catch (error) {
        if (this.#closed) throw new StoreError('closed', 'Cannot use the store: it was closed')
        if (!(error instanceof GrpcError)) throw error
        if (!isPassing(error) || this.#clock.monotonicMs() > until) throw storeErrorOf(error)
        this.leave(endpoint)
        onRetry?.()
      }
      await this.#clock.sleep(pause)
    }
  }

  /** Every member does it, one after the other (defragmentation is each member's own). */
  async defragmentEach(): Promise<void> {
    const { path, request } = methods.Defragment
    for (const endpoint of this.#endpoints) {
      try {
        await endpoint.call(path, request.encode({}), defragmentMs)
      } catch (error) {
        throw error instanceof GrpcError ? storeErrorOf(error) : error
      }
    }
  }

  openWatch(onReply: (reply: WatchReply) => void, onEnd: () => void): { readonly endpoint: number; readonly watch: (wish: WatchWish) => void; readonly cancel: () => void } {
    const endpoint = this.#current
    const stream: GrpcStream = this.#endpoint(endpoint).stream(watchPath, { onMessage: (message) => onReply(watchResponse.decode(message)), onEnd })
    return { endpoint, watch: (wish) => stream.write(watchRequest.encode({ create_request: wish })), cancel: () => stream.cancel() }
  }

  /** What failed at an endpoint goes to the next one, unless somebody has moved on already. */
  leave(endpoint: number): void {
    if (endpoint === this.#current) this.#current = (endpoint + 1) % this.#endpoints.length
  }

  close(): void {
    this.#closed = true
    for (const endpoint of this.#endpoints) endpoint.close()
  }

  #endpoint(index: number): GrpcEndpoint {
    return this.#endpoints[index] as GrpcEndpoint
  }
}

function checkedUrl(url: string): string {
  const { protocol } = new URL(url)
  if (protocol !== 'http:' && protocol !== 'https:') throw new Error(`Cannot use the etcd endpoint ${url}: it must begin with http:// or https://`)
  return url
}

function secured({ caFile, certFile, keyFile }: EtcdTls): SecureClientSessionOptions {
  const read = (name: 'ca' | 'cert' | 'key', file: string | undefined): SecureClientSessionOptions => (file === undefined ? {} : { [name]: readFileSync(file) })
  return { ...read('ca', caFile), ...read('cert', certFile), ...read('key', keyFile) }
}

/** Failures of the endpoint or of the moment; the next endpoint, or the same one a little later, may do it. */
function isPassing({ code, message }: GrpcError): boolean {
  return code === status.unavailable || code === status.deadlineExceeded || (code === status.unknown && /leader|timed out|stopped/.test(message)) || (code === status.cancelled)
}

/** etcd's errors (etcdserver/api/v3rpc/rpctypes) in the store's words. */
function storeErrorOf(error: GrpcError): StoreError {
  const { code, message } = error
  const known: StoreErrorCode | undefined = /has been compacted/.test(message) ? 'compacted' : /future revision/.test(message) ? 'future' : /space exceeded/.test(message) ? 'full' : undefined
  if (known !== undefined) return new StoreError(known, `Cannot use etcd: ${message.replace(/^etcdserver: /, '')}`, { cause: error })
  const isAway = code === status.unavailable || code === status.deadlineExceeded
  return new StoreError('io', isAway ? `Cannot reach etcd: ${message}; is it running, and has it a majority of its members?` : `Cannot use etcd: ${message}`, { cause: error })
}
