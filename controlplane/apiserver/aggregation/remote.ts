// Groups and versions that other API servers serve: whether each can be reached, and what it says of itself. An APIService says where
// it is; its condition Available says whether it answers (kube-aggregator's remote availability controller).
import { once } from 'node:events'
import { Agent, request as httpsRequest } from 'node:https'
import type { ClientRequest, IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import { rootCertificates } from 'node:tls'
import type { UserInfo } from '../descriptor.ts'
import type { Upstream } from '../http.ts'
import { isRecord, valueAt } from '../object.ts'
import type { ApiObject } from '../object.ts'
import type { Outbound } from '../outbound.ts'
import type { Credential } from '../pki/authority.ts'
import { limitConnecting } from '../server/connect-timeout.ts'
import { StatusError } from '../status.ts'

type Json = Record<string, unknown>

/** A group and version of somebody else's, as it described itself when it last answered. */
export interface RemoteVersion {
  readonly group: string
  readonly version: string
  readonly groupPriority: number
  readonly versionPriority: number
  readonly isAvailable: boolean
  /** Of its APIResourceList. */
  readonly resources: readonly Json[]
  readonly openApiV3?: Json
  readonly openApiV2?: Json
}

/** What an APIService says. */
export interface RemoteSpec {
  readonly group: string
  readonly version: string
  readonly groupPriorityMinimum: number
  readonly versionPriority: number
  readonly service: { readonly namespace: string; readonly name: string; readonly port: number }
  readonly caBundle?: string
  readonly insecureSkipTLSVerify?: boolean
}

/** The spec of an APIService that leads elsewhere; undefined of one that is served here. */
export function remoteSpec(object: ApiObject): RemoteSpec | undefined {
  return isRecord(valueAt(object, '.spec.service')) ? (object['spec'] as RemoteSpec) : undefined
}

/** On whose behalf we ask, told as aggregated servers are used to (`--requestheader-…`). */
export function identityHeaders({ name, uid, groups, extra = {} }: UserInfo): Record<string, string | string[]> {
  return {
    'x-remote-user': name,
    ...(uid === undefined ? {} : { 'x-remote-uid': uid }),
    ...(groups.length === 0 ? {} : { 'x-remote-group': [...groups] }),
    ...Object.fromEntries(Object.entries(extra).map(([key, values]) => [`x-remote-extra-${encodeURIComponent(key.toLowerCase())}`, [...values]])),
  }
}

export interface RemoteRequest {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string | string[]>>
  readonly body?: Buffer
  readonly signal?: AbortSignal
}

/** Connections to aggregated API servers: TLS both ways, they know us by the front-proxy certificate. */
export class RemoteConnections {
  readonly #outbound: Outbound
  readonly #credential: Credential
  readonly #agent = new Agent({ keepAlive: true, timeout: 60_000 })

  constructor(outbound: Outbound, credential: Credential) {
    this.#outbound = outbound
    this.#credential = credential
  }

  close(): void {
    this.#agent.destroy()
  }

  /** Where a path of an aggregated server is. Throws a `StatusError` when its service has no endpoint. */
  upstream({ service, caBundle = '', insecureSkipTLSVerify }: RemoteSpec, path: string, headers: Upstream['headers'] = {}): Upstream {
    const { host, port, serverName, ca } = this.#outbound.route({ service, caBundle })
    const { certificate, key } = this.#credential
    return { host, port, path, headers, tls: { ca: insecureSkipTLSVerify === true ? '' : (ca ?? rootCertificates.join('\n')), certificate, key, serverName } }
  }

  /** Asks, and resolves with the answer when its head has come. A connection that was kept may have been closed meanwhile at the other end: then another is made. */
  async ask(spec: RemoteSpec, request: RemoteRequest): Promise<IncomingMessage> {
    for (;;) {
      const outgoing = this.#request(spec, request)
      try {
        const [response] = (await once(outgoing.end(request.body), 'response')) as [IncomingMessage]
        return response
      } catch (error) {
        if (!outgoing.reusedSocket || request.signal?.aborted === true || (error as NodeJS.ErrnoException).code !== 'ECONNRESET') throw error
      }
    }
  }

  #request(spec: RemoteSpec, { method, path, headers, body, signal }: RemoteRequest): ClientRequest {
    const { host, port, tls } = this.upstream(spec, path)
    const { serverName = '', ca = '', certificate, key } = tls ?? {}
    const outgoing = httpsRequest({
      agent: this.#agent, host, port, path, method,
      ...(isIP(serverName) === 0 ? { servername: serverName } : {}),
      ...(ca === '' ? { rejectUnauthorized: false } : { ca }),
      ...(signal === undefined ? {} : { signal }),
      cert: certificate, key,
      headers: { ...headers, host: `${serverName}:${port}`, ...(body === undefined ? {} : { 'content-length': String(body.length) }) },
    })
    limitConnecting(outgoing)
    // Told by who waits for the response; after that, by the response.
    outgoing.on('error', () => undefined)
    return outgoing
  }
}

/** A condition Available, and what was learnt on the way. */
export interface Checked {
  readonly status: 'True' | 'False'
  readonly reason: string
  readonly message: string
  readonly found?: Pick<RemoteVersion, 'resources' | 'openApiV3' | 'openApiV2'>
}

const aggregator: UserInfo = { name: 'system:kube-aggregator', groups: ['system:masters'] }
const checkTimeoutMs = 5000
const documentBytesMax = 64 * 1024 * 1024

/** Asks an aggregated server whether it serves what it is said to, and how it describes that. */
export async function check(connections: RemoteConnections, spec: RemoteSpec): Promise<Checked> {
  const { service, group, version } = spec
  const path = `/apis/${group}/${version}`
  const unavailable = (reason: string, message: string): Checked => ({ status: 'False', reason, message })
  try {
    connections.upstream(spec, path)
  } catch (error) {
    if (error instanceof StatusError && error.code === 404) return unavailable('ServiceNotFound', `service/${service.name} in ${JSON.stringify(service.namespace)} is not present`)
    return unavailable('MissingEndpoints', `endpoints for service/${service.name} in ${JSON.stringify(service.namespace)} have no addresses`)
  }
  try {
    const list = await document(connections, spec, path)
    const resources = Array.isArray(list['resources']) ? list['resources'].filter(isRecord) : []
    return { status: 'True', reason: 'Passed', message: 'all checks passed', found: { resources, ...(await descriptions(connections, spec)) } }
  } catch (error) {
    return unavailable('FailedDiscoveryCheck', `failing or missing response from https://${service.name}.${service.namespace}.svc:${service.port}${path}: ${(error as Error).message}`)
  }
}

/** OpenAPI, as far as there is any: a server need not have it. */
async function descriptions(connections: RemoteConnections, spec: RemoteSpec): Promise<Pick<RemoteVersion, 'openApiV3' | 'openApiV2'>> {
  const [v3, v2] = (await Promise.allSettled([`/openapi/v3/apis/${spec.group}/${spec.version}`, '/openapi/v2'].map((path) => document(connections, spec, path)))).map((one) => (one.status === 'fulfilled' ? one.value : undefined))
  return { ...(v3?.['openapi'] === undefined ? {} : { openApiV3: v3 }), ...(v2?.['swagger'] === undefined ? {} : { openApiV2: v2 }) }
}

async function document(connections: RemoteConnections, spec: RemoteSpec, path: string): Promise<Json> {
  const signal = AbortSignal.timeout(checkTimeoutMs)
  const response = await connections.ask(spec, { method: 'GET', path, headers: { ...identityHeaders(aggregator), accept: 'application/json' }, signal })
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of response) {
    bytes += (piece as Buffer).length
    if (bytes > documentBytesMax) throw new Error(`the answer is longer than ${documentBytesMax} bytes`)
    pieces.push(piece as Buffer)
  }
  if (response.statusCode !== 200) throw new Error(`bad status from ${path}: ${response.statusCode ?? 0}`)
  const value: unknown = JSON.parse(Buffer.concat(pieces).toString())
  return isRecord(value) ? value : {}
}
