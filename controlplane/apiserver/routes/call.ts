// One request to a resource, with all that answering it needs.
import type { Clock, Random } from '../../../api/clock.ts'
import { annotate } from '../audit-annotations.ts'
import type { Authenticator } from '../authentication/index.ts'
import type { ServiceAccountTokens } from '../authentication/service-account-tokens.ts'
import type { Authorizer } from '../authorization/rbac.ts'
import type { Entry, WatchCache } from '../cache/index.ts'
import type { ResourceDescriptor, UserInfo } from '../descriptor.ts'
import type { HttpRequest, Reply } from '../http.ts'
import type { KubeletAccess } from '../kubelet-access.ts'
import { negotiate } from '../negotiation.ts'
import type { Outbound } from '../outbound.ts'
import type { Reader } from '../read.ts'
import type { Registry } from '../registry.ts'
import { hasProtobuf, Representation } from '../representation.ts'
import type { RequestInfo } from '../request-info.ts'
import { badRequest, invalid } from '../status.ts'
import type { Watches } from '../watch.ts'
import type { WriteOptions, Writer } from '../write/writer.ts'

const managerLengthMax = 128

/** The parts of a server that routes work with. */
export interface Serving {
  readonly registry: Registry
  readonly cache: WatchCache
  readonly reader: Reader
  readonly writer: Writer
  readonly watches: Watches
  readonly authenticator: Authenticator
  readonly authorizer: Authorizer
  readonly tokens: ServiceAccountTokens
  readonly kubelets: KubeletAccess
  /** Calls of webhooks and aggregated servers. */
  readonly outbound: Outbound
  readonly clock: Clock
  readonly random: Random
}

export interface Call {
  readonly serving: Serving
  readonly request: HttpRequest
  readonly info: RequestInfo
  readonly user: UserInfo
  readonly descriptor: ResourceDescriptor
  /** Becomes Warning headers of the reply. */
  readonly warnings: string[]
}

export function writeOptions({ request, user, warnings }: Call): WriteOptions {
  const dryRun = request.query.getAll('dryRun')
  if (dryRun.some((value) => value !== 'All' && value !== '')) throw badRequest(`dryRun: Unsupported value: ${JSON.stringify(dryRun)}: supported values: "All"`)
  const options = { ...(dryRun.includes('All') ? { dryRun: ['All'] } : {}), ...named(request, 'fieldManager'), ...named(request, 'fieldValidation') }
  const origin = { options, annotate: (key: string, value: string) => annotate(request, key, value) }
  return { user, dryRun: dryRun.includes('All'), warn: (warning) => void warnings.push(warning), manager: fieldManager(request, user), origin }
}

function named({ query }: HttpRequest, name: string): Record<string, string> {
  const value = query.get(name) ?? ''
  return value === '' ? {} : { [name]: value }
}

/** Who writes, as owned fields name it: what the client calls itself, or how its program is called. */
function fieldManager({ query, headers }: HttpRequest, { name }: UserInfo): string {
  const named = query.get('fieldManager') ?? ''
  if (named === '') return (/^[^/\s]+/.exec(headers['user-agent'] ?? '')?.[0] ?? name.slice(name.lastIndexOf(':') + 1)).slice(0, managerLengthMax)
  if (named.length <= managerLengthMax && !/\p{Cc}/u.test(named)) return named
  throw invalid({ group: 'meta.k8s.io', kind: 'PatchOptions' }, '', [{ field: 'fieldManager', type: 'FieldValueInvalid', value: named, detail: `must be no more than ${managerLengthMax} printable characters` }])
}

/** The outcome of a write in the representation that the client asked for. */
export function objectReply(call: Call, status: number, entry: Entry): Reply {
  const { serving, request, descriptor } = call
  const representation = new Representation(descriptor, negotiate(request.headers['accept'], hasProtobuf(descriptor)), request.query, () => serving.clock.now())
  return representation.object(status, entry, warningHeaders(call.warnings))
}

/** RFC 7234 section 5.5, as kubectl reads and prints them. */
export function warningHeaders(warnings: readonly string[]): Record<string, string> {
  if (warnings.length === 0) return {}
  const quoted = [...new Set(warnings)].map((warning) => `299 - "${warning.replaceAll(/[\r\n]+/g, ' ').replaceAll(/[\\"]/g, '\\$&')}"`)
  return { warning: quoted.join(', ').replaceAll(/[^\x20-\x7e]/g, '?') }
}
