// The audit log: who asked for what, and what was answered; a line of JSON for each stage of a request (audit.k8s.io/v1), as much as a policy says.
import { randomUUID } from 'node:crypto'
import type { Clock } from '../../../api/clock.ts'
import type { Logger } from '../../../api/log.ts'
import { annotationsOf } from '../audit-annotations.ts'
import { decodeBody } from '../codec.ts'
import type { UserInfo } from '../descriptor.ts'
import type { HttpRequest, Reply, Sink } from '../http.ts'
import { isRecord } from '../object.ts'
import type { RequestInfo } from '../request-info.ts'
import { LogFile } from './log-file.ts'
import type { LogFileOptions } from './log-file.ts'
import { decide, defaultPolicy, parsePolicy } from './policy.ts'
import type { Decision, Policy, Stage } from './policy.ts'

export interface AuditOptions extends LogFileOptions {
  /** YAML of a Policy; left out: metadata of everything, once it is answered. */
  readonly policy?: { readonly text: string; readonly source: string }
}

/** Who asks for what. Strangers, and paths that cannot be read, have less. */
interface Subject {
  /** Who has proved to be there. */
  readonly by?: UserInfo | undefined
  /** As whom, when that is somebody else. */
  readonly acting?: UserInfo | undefined
  readonly info?: RequestInfo | undefined
}

export class AuditLog {
  readonly #policy: Policy
  readonly #file: LogFile
  readonly #clock: Clock

  constructor({ policy, ...file }: AuditOptions, clock: Clock, log: Logger) {
    this.#policy = policy === undefined ? defaultPolicy : parsePolicy(policy.text, policy.source)
    this.#file = new LogFile(file, clock, log)
    this.#clock = clock
  }

  /** A request has come. */
  begin(request: HttpRequest, subject: Subject): Trail {
    const info = subject.info ?? { isResource: false, path: request.path, verb: request.method.toLowerCase(), group: '', version: '', resource: '', subresource: '', namespace: '', name: '', rest: '' }
    return new Trail(request, { ...subject, info }, decide(this.#policy, subject.by, info), this.#clock, (line) => this.#file.append(line))
  }

  close(): void {
    this.#file.close()
  }
}

const withRequest = new Set(['Request', 'RequestResponse'])

/** What is written of one request. */
export class Trail {
  /** To be answered in its place: its body is noted. */
  readonly request: HttpRequest
  readonly #decision: Decision
  readonly #clock: Clock
  readonly #append: (line: string) => void
  readonly #head: Readonly<Record<string, unknown>>
  readonly #received: string
  #body: Buffer | undefined

  constructor(request: HttpRequest, subject: Subject & { readonly info: RequestInfo }, decision: Decision, clock: Clock, append: (line: string) => void) {
    this.#decision = decision
    this.#clock = clock
    this.#append = append
    this.#received = stamp(clock)
    this.#head = decision.level === 'None' ? {} : headOf(request, subject, decision.level)
    this.request = withRequest.has(decision.level) ? { ...request, readBody: async (bytesMax) => (this.#body ??= await request.readBody(bytesMax)) } : request
    this.#write('RequestReceived', {})
  }

  /** The answer, which is passed on by way of here: what is a stream is over later. */
  answered(reply: Reply): Reply {
    if (this.#decision.level === 'None') return reply
    const { body } = reply
    if (typeof body === 'function') return { ...reply, body: (sink) => body(this.#following(sink, reply.status)) }
    const pieces = this.#decision.level === 'RequestResponse' || reply.status >= 400 ? [...body] : undefined
    const object = pieces === undefined ? undefined : decoded(Buffer.concat(pieces), reply.headers['content-type'])
    this.#write('ResponseComplete', { ...this.#requestObject(), ...(this.#decision.level === 'RequestResponse' ? this.#object('responseObject', object) : {}), responseStatus: statusOf(reply.status, object) })
    return pieces === undefined ? reply : { ...reply, body: pieces }
  }

  /** A connection has been led elsewhere, and ends with the client's. */
  connected(): void {
    const status = { responseStatus: { metadata: {}, code: 101 } }
    this.#write('ResponseStarted', status)
    this.request.signal.addEventListener('abort', () => this.#write('ResponseComplete', status), { once: true })
  }

  #following(sink: Sink, code: number): Sink {
    const content = { ...this.#requestObject(), responseStatus: { metadata: {}, code } }
    this.#write('ResponseStarted', content)
    let isOver = false
    const over = (): void => {
      if (isOver) return
      isOver = true
      this.#write('ResponseComplete', content)
    }
    this.request.signal.addEventListener('abort', over, { once: true })
    return {
      write: (chunk) => sink.write(chunk),
      get pendingBytes() {
        return sink.pendingBytes
      },
      drained: () => sink.drained(),
      end: () => {
        sink.end()
        over()
      },
    }
  }

  #requestObject(): Readonly<Record<string, unknown>> {
    return this.#body === undefined || this.#body.length === 0 ? {} : this.#object('requestObject', decoded(this.#body, this.request.headers['content-type']))
  }

  #object(name: 'requestObject' | 'responseObject', object: unknown): Readonly<Record<string, unknown>> {
    if (object === undefined) return {}
    return { [name]: this.#decision.omitManagedFields ? withoutManagedFields(object) : object }
  }

  #write(stage: Stage, content: Readonly<Record<string, unknown>>): void {
    if (this.#decision.level === 'None' || this.#decision.omitStages.has(stage)) return
    const annotations = stage === 'RequestReceived' ? undefined : annotationsOf(this.request)
    this.#append(JSON.stringify({ ...this.#head, stage, ...content, requestReceivedTimestamp: this.#received, stageTimestamp: stamp(this.#clock), ...(annotations === undefined ? {} : { annotations }) }))
  }
}

function headOf({ query, path, headers, peer }: HttpRequest, { by, acting, info }: Subject & { readonly info: RequestInfo }, level: string): Record<string, unknown> {
  const text = query.toString()
  const isImpersonated = acting !== undefined && acting !== by
  return {
    kind: 'Event', apiVersion: 'audit.k8s.io/v1', level, auditID: headers['audit-id'] ?? randomUUID(),
    requestURI: text === '' ? path : `${path}?${text}`,
    verb: info.verb,
    user: by === undefined ? {} : userOf(by),
    ...(isImpersonated ? { impersonatedUser: userOf(acting) } : {}),
    sourceIPs: peer.address === undefined ? [] : [peer.address],
    userAgent: headers['user-agent'] ?? '',
    ...(info.isResource ? { objectRef: { resource: info.resource, namespace: info.namespace || undefined, name: info.name || undefined, apiGroup: info.group || undefined, apiVersion: info.version, subresource: info.subresource || undefined } } : {}),
  }
}

function userOf({ name, groups, uid }: UserInfo): Record<string, unknown> {
  return { username: name, groups, ...(uid === undefined ? {} : { uid }) }
}

/** Undefined for what is no object: logs, for one. */
function decoded(bytes: Buffer, contentType: string | undefined): unknown {
  try {
    return decodeBody(bytes, contentType)
  } catch {
    return undefined // what cannot be read was refused with words of its own
  }
}

function statusOf(code: number, object: unknown): Record<string, unknown> {
  if (!isRecord(object) || object['kind'] !== 'Status') return { metadata: {}, code }
  const { status, message, reason } = object
  return { metadata: {}, status, message, reason, code }
}

function withoutManagedFields(object: unknown): unknown {
  if (!isRecord(object)) return object
  const { metadata, items } = object
  const { managedFields: _managedFields, ...kept } = isRecord(metadata) ? metadata : {}
  return { ...object, ...(isRecord(metadata) ? { metadata: kept } : {}), ...(Array.isArray(items) ? { items: items.map(withoutManagedFields) } : {}) }
}

function stamp(clock: Clock): string {
  return new Date(clock.now()).toISOString().replace('Z', '000Z')
}
