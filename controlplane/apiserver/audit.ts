// The audit log: who asked for what, and what was answered; one line of JSON a request (audit.k8s.io/v1, level Metadata).
import { randomUUID } from 'node:crypto'
import { closeSync, openSync, renameSync, statSync, writeSync } from 'node:fs'
import type { Clock } from '../../api/clock.ts'
import type { Logger } from '../../api/log.ts'
import { annotationsOf } from './audit-annotations.ts'
import type { UserInfo } from './descriptor.ts'
import type { HttpRequest } from './http.ts'
import type { RequestInfo } from './request-info.ts'

/** As --audit-log-maxsize of kube-apiserver; one older file is kept beside it. */
const bytesMax = 100 * 2 ** 20
/** Lines are written together, and never later than this. */
const flushMs = 200

export class AuditLog {
  readonly #path: string
  readonly #clock: Clock
  readonly #log: Logger
  #file: number
  #bytes: number
  #lines: string[] = []

  constructor(path: string, clock: Clock, log: Logger) {
    this.#path = path
    this.#clock = clock
    this.#log = log
    this.#file = openSync(path, 'a', 0o600)
    this.#bytes = statSync(path).size
  }

  record(request: HttpRequest, user: UserInfo | undefined, info: RequestInfo | undefined, code: number, receivedMs: number): void {
    const { query, path, headers, peer } = request
    const text = query.toString()
    const annotations = annotationsOf(request)
    const stamp = (ms: number): string => new Date(ms).toISOString().replace('Z', '000Z')
    this.#lines.push(JSON.stringify({
      kind: 'Event', apiVersion: 'audit.k8s.io/v1', level: 'Metadata', auditID: randomUUID(), stage: 'ResponseComplete',
      requestURI: text === '' ? path : `${path}?${text}`,
      verb: info?.verb ?? request.method.toLowerCase(),
      user: user === undefined ? {} : { username: user.name, groups: user.groups, ...(user.uid === undefined ? {} : { uid: user.uid }) },
      ...(headers['impersonate-user'] === undefined ? {} : { impersonatedUser: { username: headers['impersonate-user'] } }),
      sourceIPs: peer.address === undefined ? [] : [peer.address],
      userAgent: headers['user-agent'] ?? '',
      ...(info?.isResource === true ? { objectRef: { resource: info.resource, namespace: info.namespace || undefined, name: info.name || undefined, apiGroup: info.group || undefined, apiVersion: info.version, subresource: info.subresource || undefined } } : {}),
      responseStatus: { metadata: {}, code },
      ...(annotations === undefined ? {} : { annotations }),
      requestReceivedTimestamp: stamp(receivedMs), stageTimestamp: stamp(this.#clock.now()),
    }))
    if (this.#lines.length === 1) this.#clock.setTimeout(() => this.#flush(), flushMs)
  }

  close(): void {
    this.#flush()
    closeSync(this.#file)
  }

  #flush(): void {
    if (this.#lines.length === 0) return
    const text = Buffer.from(`${this.#lines.join('\n')}\n`)
    this.#lines = []
    try {
      if (this.#bytes + text.length > bytesMax) this.#rotate()
      writeSync(this.#file, text)
      this.#bytes += text.length
    } catch (error) {
      this.#log.error('the audit log cannot be written', { path: this.#path, error })
    }
  }

  #rotate(): void {
    closeSync(this.#file)
    renameSync(this.#path, `${this.#path}.1`)
    this.#file = openSync(this.#path, 'a', 0o600)
    this.#bytes = 0
  }
}
