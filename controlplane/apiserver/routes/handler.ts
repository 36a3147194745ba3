// The way of a request: open paths, who, whether they may, and then to what answers it.
import type { Aggregation } from '../aggregation/index.ts'
import { annotate } from '../audit-annotations.ts'
import type { AuditLog, Trail } from '../audit/index.ts'
import { impersonated } from '../authentication/index.ts'
import type { Attributes } from '../authorization/rbac.ts'
import { review } from '../authorization/reviews.ts'
import type { ResourceDescriptor, UserInfo } from '../descriptor.ts'
import { jsonReply, textReply } from '../http.ts'
import type { Handler, HttpRequest, Reply, UpgradeHandler, Upstream } from '../http.ts'
import type { Logger } from '../../../api/log.ts'
import { isStoreError } from '../../store/index.ts'
import { inEncoding } from '../representation.ts'
import { parseRequest } from '../request-info.ts'
import type { RequestInfo } from '../request-info.ts'
import { badRequest, forbidden, internalError, noSuchPath, StatusError } from '../status.ts'
import { bind } from '../subresources/binding.ts'
import { admitConnection } from '../subresources/connect.ts'
import { handleSubresource } from '../subresources/index.ts'
import { streamUpstream } from '../subresources/streams.ts'
import type { Call, Serving } from './call.ts'
import { discover } from './discovery.ts'
import { Metrics } from './metrics.ts'
import { OpenApi } from './openapi.ts'
import { handleResource } from './resource.ts'
import type { SharedStore } from './shared-store.ts'
import { Turns } from './turns.ts'

export interface HandlerOptions {
  readonly aggregation: Aggregation
  readonly shared: SharedStore
  readonly serving: Serving
  readonly log: Logger
  /** The CA's certificate, PEM: joining nodes compare it with the hash in their token. */
  readonly caCertificate: string
  /** `host:port` that discovery names. */
  readonly serverAddress: () => string
  /** Why the server is not ready, if it is not. */
  readonly notReady: () => string | undefined
  readonly isStopping: () => boolean
  readonly audit?: AuditLog
}

const version = {
  major: '1', minor: '35', gitVersion: 'v1.35.0+fairway', gitCommit: '', gitTreeState: 'clean', buildDate: '2026-01-01T00:00:00Z',
  goVersion: process.version, compiler: 'node', platform: `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`,
}

export function createHandler(options: HandlerOptions): { readonly handle: Handler; readonly upgrade: UpgradeHandler } {
  const documents = { openApi: new OpenApi(options.serving.registry, options.aggregation), metrics: new Metrics() }
  const turns = new Turns()
  const handle = async (request: HttpRequest): Promise<Reply> => {
    const open = openPaths(options, request)
    if (open !== undefined) return open
    if (options.isStopping()) return errorReply(stopping())
    let trail: Trail | undefined
    let by: UserInfo | undefined
    let reply: Reply
    try {
      by = options.serving.authenticator.authenticate(request)
      const asking = identify(options, request, by)
      trail = options.audit?.begin(request, { by, acting: asking.user, info: asking.info })
      authorize(options, asking, request)
      reply = await turns.take(asking, trail?.request ?? request, (received) => answer(options, documents, asking, received))
    } catch (error) {
      reply = errorReply(statusOf(error, options.log, request))
      trail ??= options.audit?.begin(request, { by })
    }
    return inEncoding(trail?.answered(reply) ?? reply, request.headers['accept'])
  }
  const upgrade: UpgradeHandler = async (request) => {
    let trail: Trail | undefined
    try {
      const by = options.serving.authenticator.authenticate(request)
      const asking = identify(options, request, by)
      trail = options.audit?.begin(request, { by, acting: asking.user, info: asking.info })
      authorize(options, asking, request)
      const upstream = await upstreamOf(options, asking, request)
      trail?.connected()
      return upstream
    } catch (error) {
      const refused = statusOf(error, options.log, request)
      ;(trail ?? options.audit?.begin(request, {}))?.answered(errorReply(refused))
      throw refused
    }
  }
  return { handle, upgrade }
}

/** Where a connection is led to. */
async function upstreamOf({ aggregation, serving }: HandlerOptions, { user, info }: Asking, request: HttpRequest): Promise<Upstream> {
  const elsewhere = aggregation.serviceFor(request.path)
  if (elsewhere !== undefined) return aggregation.upstream(elsewhere, request, user)
  const call = callOf(serving, request, info, user)
  const upstream = await streamUpstream(call)
  await admitConnection(call)
  return upstream
}

/** What strangers may know. */
function openPaths({ caCertificate, notReady }: HandlerOptions, { path, method, query }: HttpRequest): Reply | undefined {
  if (method !== 'GET' && method !== 'HEAD') return undefined
  switch (path.replace(/(?<=.)\/$/, '')) {
    case '/livez':
      return healthReply('livez', query, undefined)
    case '/healthz':
    case '/readyz':
      return healthReply(path.replaceAll('/', ''), query, notReady())
    case '/version':
      return jsonReply(200, version)
    case '/cacerts':
      return textReply(200, caCertificate)
    default:
      return undefined
  }
}

/** With `verbose` what was looked at, as kube-apiserver lists it; its check `etcd` is that of the store, whichever it is. */
function healthReply(of: string, query: URLSearchParams, reason: string | undefined): Reply {
  const code = reason === undefined ? 200 : 503
  if (!query.has('verbose')) return textReply(code, reason === undefined ? 'ok' : `not ready: ${reason}\n`)
  const store = reason === undefined ? '[+]etcd ok' : `[-]etcd failed: ${reason}`
  const lines = ['[+]ping ok', ...(of === 'livez' ? [] : [store]), `${of} check ${reason === undefined ? 'passed' : 'failed'}`]
  return textReply(code, `${lines.join('\n')}\n`)
}

/** Who asks, and for what. */
interface Asking {
  readonly user: UserInfo
  readonly info: RequestInfo
}

/** What the handler has of its own beside resources. */
interface Documents {
  readonly openApi: OpenApi
  readonly metrics: Metrics
}

async function answer(options: HandlerOptions, { openApi, metrics }: Documents, { user, info }: Asking, request: HttpRequest): Promise<Reply> {
  const { serving, serverAddress, aggregation } = options
  const elsewhere = aggregation.serviceFor(request.path)
  if (elsewhere !== undefined) return aggregation.pass(elsewhere, request, user)
  if (!info.isResource) {
    if (request.method !== 'GET' && request.method !== 'HEAD') throw noSuchPath()
    if (info.path === '/metrics') return metrics.answer(serving)
    const found = discover({ registry: serving.registry, remote: aggregation.versions, serverAddress: serverAddress() }, request) ?? openApi.answer(request) ?? issuerPaths(serving, request)
    if (found === undefined) throw noSuchPath()
    return found
  }
  const call = callOf(serving, request, info, user)
  try {
    const reply = await options.shared.run(call, () => answerCall(call))
    metrics.count(call, reply.status)
    return reply
  } catch (error) {
    const refusal = statusOf(error, options.log, request)
    metrics.count(call, refusal.code)
    throw refusal
  }
}

async function answerCall(call: Call): Promise<Reply> {
  const { info } = call
  if (info.subresource !== '') {
    if (info.name === '') throw badRequest('name must be provided')
    return handleSubresource(call)
  }
  if (call.descriptor.virtual !== true) return handleResource(call)
  if (info.verb !== 'create') throw new StatusError(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource', {})
  return call.descriptor.kind === 'Binding' ? bind(call) : review(call)
}

/** Where others who verify service account tokens find the key (OIDC discovery). */
function issuerPaths({ tokens }: Serving, { path }: HttpRequest): Reply | undefined {
  if (path === '/openid/v1/jwks') return jsonReply(200, tokens.keySet, { 'content-type': 'application/jwk-set+json' })
  if (path !== '/.well-known/openid-configuration') return undefined
  return jsonReply(200, { issuer: tokens.issuer, jwks_uri: `${tokens.issuer}/openid/v1/jwks`, response_types_supported: ['id_token'], subject_types_supported: ['public'], id_token_signing_alg_values_supported: ['ES256'] })
}

function callOf(serving: Serving, request: HttpRequest, info: RequestInfo, user: UserInfo): Call {
  const descriptor = serving.registry.atPath(info.group, info.version, info.resource)
  if (descriptor === undefined) throw noSuchPath()
  return { serving, request, info: scoped(info, descriptor), user, descriptor, warnings: [] }
}

/** `namespaces` itself is not in the namespace that its path names. */
function scoped(info: RequestInfo, descriptor: ResourceDescriptor): RequestInfo {
  if (descriptor.namespaced) return info
  if (info.namespace !== '' && descriptor.plural !== 'namespaces') throw noSuchPath()
  return { ...info, namespace: '' }
}

/** Finds out as whom, and of what. */
function identify({ serving }: HandlerOptions, request: HttpRequest, authenticated: UserInfo): Asking {
  const acting = impersonated(request)
  if (acting !== undefined) checkImpersonation(serving, authenticated, acting, request.headers['impersonate-group'] !== undefined)
  const user = acting ?? authenticated
  return { user, info: parseRequest(request.method, request.path, request.query) }
}

/** Refuses with 403 what nothing allows. */
function authorize({ serving, audit }: HandlerOptions, { user, info }: Asking, request: HttpRequest): void {
  const attributes: Attributes = info.isResource ? { ...info, name: info.name === '' ? nameSelected(request.query) : info.name } : { ...info, path: info.path, resource: '' }
  const isAllowed = serving.authorizer.isAllowed(user, attributes)
  if (audit !== undefined) annotate(request, 'authorization.k8s.io/decision', isAllowed ? 'allow' : 'forbid')
  if (!isAllowed) throw refusal(user, info)
}

/** A list or a watch of one object by its name is, for those who decide, about that object. */
function nameSelected(query: URLSearchParams): string {
  return /(?:^|,)metadata\.name==?([^,]+)/.exec(query.get('fieldSelector') ?? '')?.[1] ?? ''
}

/** A permission to impersonate somebody, or something that is said of somebody. */
interface Wanted {
  readonly group: string
  readonly resource: string
  readonly subresource?: string
  readonly name: string
  readonly namespace?: string
}

/** Whom somebody acts as takes a permission for each thing that is said of them; groups that go without saying take none. */
function checkImpersonation({ authorizer }: Serving, user: UserInfo, acting: UserInfo, namesGroups: boolean): void {
  const wanted: Wanted[] = []
  const [, namespace, account] = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(acting.name) ?? []
  if (account === undefined) wanted.push({ group: '', resource: 'users', name: acting.name })
  else wanted.push({ group: '', resource: 'serviceaccounts', name: account, namespace: namespace ?? '' })
  if (namesGroups) for (const name of acting.groups) if (name !== 'system:authenticated') wanted.push({ group: '', resource: 'groups', name })
  const group = 'authentication.k8s.io'
  if (acting.uid !== undefined) wanted.push({ group, resource: 'uids', name: acting.uid })
  for (const [key, values] of Object.entries(acting.extra ?? {})) wanted.push(...values.map((name) => ({ group, resource: 'userextras', subresource: key, name })))
  for (const { group, resource, subresource = '', name, namespace: within = '' } of wanted) {
    if (authorizer.isAllowed(user, { verb: 'impersonate', group, resource, subresource, namespace: within, name, path: '' })) continue
    const what = subresource === '' ? resource : `${resource}/${subresource}`
    throw forbidden({ group, plural: resource }, name, `User "${user.name}" cannot impersonate resource "${what}" in API group "${group}" ${within === '' ? 'at the cluster scope' : `in the namespace "${within}"`}`)
  }
}

function refusal(user: UserInfo, { isResource, verb, group, resource, subresource, namespace, name, path }: RequestInfo): StatusError {
  if (!isResource) return new StatusError(403, 'Forbidden', `forbidden: User "${user.name}" cannot ${verb} path "${path}"`, {})
  const where = namespace === '' ? 'at the cluster scope' : `in the namespace "${namespace}"`
  const what = subresource === '' ? resource : `${resource}/${subresource}`
  return forbidden({ group, plural: resource }, name, `User "${user.name}" cannot ${verb} resource "${what}" in API group "${group}" ${where}`)
}

function statusOf(error: unknown, log: Logger, { method, path }: HttpRequest): StatusError {
  if (error instanceof StatusError) return error
  if (isStoreError(error, 'closed')) return stopping()
  if (isStoreError(error)) return internalError(error.message)
  log.error('a request failed', { method, path, error, stack: (error as Error).stack })
  return internalError((error as Error).message)
}

function stopping(): StatusError {
  return new StatusError(503, 'ServiceUnavailable', 'the server is shutting down', { retryAfterSeconds: 1 })
}

function errorReply(error: StatusError): Reply {
  const seconds = error.details?.retryAfterSeconds
  return jsonReply(error.code, error.toStatus(), seconds === undefined ? {} : { 'retry-after': String(seconds) })
}
