// Discovery: which groups, versions and resources there are, plainly and aggregated into one document
// (apidiscovery.k8s.io/v2), which kubectl asks for first.
import { createHash } from 'node:crypto'
import type { RemoteVersion } from '../aggregation/index.ts'
import type { ResourceDescriptor, Subresource } from '../descriptor.ts'
import { bytesReply } from '../http.ts'
import type { HttpRequest, Reply } from '../http.ts'
import { apiVersionOf } from '../object.ts'
import { verbsOf } from '../registry.ts'
import type { Registry } from '../registry.ts'

type Json = Record<string, unknown>

/** Kind and verbs of subresources; without a kind, that of the resource. */
const subresources: Readonly<Record<Subresource, { readonly group?: string; readonly version?: string; readonly kind?: string; readonly verbs: readonly string[] }>> = {
  status: { verbs: ['get', 'patch', 'update'] },
  scale: { group: 'autoscaling', version: 'v1', kind: 'Scale', verbs: ['get', 'patch', 'update'] },
  binding: { version: 'v1', kind: 'Binding', verbs: ['create'] },
  eviction: { group: 'policy', version: 'v1', kind: 'Eviction', verbs: ['create'] },
  log: { verbs: ['get'] },
  exec: { version: 'v1', kind: 'PodExecOptions', verbs: ['create', 'get'] },
  attach: { version: 'v1', kind: 'PodAttachOptions', verbs: ['create', 'get'] },
  portforward: { version: 'v1', kind: 'PodPortForwardOptions', verbs: ['create', 'get'] },
  proxy: { verbs: ['create', 'delete', 'get', 'patch', 'update'] },
  token: { group: 'authentication.k8s.io', version: 'v1', kind: 'TokenRequest', verbs: ['create'] },
  approval: { verbs: ['get', 'patch', 'update'] },
  finalize: { verbs: ['update'] },
  ephemeralcontainers: { verbs: ['get', 'patch', 'update'] },
  resize: { verbs: ['get', 'patch', 'update'] },
}

const proxyKinds: Readonly<Record<string, string>> = { Pod: 'PodProxyOptions', Service: 'ServiceProxyOptions', Node: 'NodeProxyOptions' }

/** What discovery tells of: what is served here, and what other API servers serve. */
export interface Discoverable {
  readonly registry: Registry
  readonly remote: readonly RemoteVersion[]
  /** `host:port`. */
  readonly serverAddress: string
}

/** One version of a group, in both forms. */
interface Version {
  readonly version: string
  readonly freshness: 'Current' | 'Stale'
  readonly aggregated: () => readonly Json[]
}

/** Answers /api, /apis and what is below them, short of resources; undefined for other paths. What another server serves it tells itself. */
export function discover({ registry, remote, serverAddress }: Discoverable, request: HttpRequest): Reply | undefined {
  const path = request.path.replace(/\/+$/, '')
  if (path === '/api' || path === '/apis') {
    const isCore = path === '/api'
    const aggregated = aggregatedVersion(request.headers['accept'])
    if (aggregated !== undefined) return aggregatedReply(isCore ? coreGroup(registry) : groupsOf(registry, remote), aggregated, request)
    return reply(isCore ? coreVersions(registry, serverAddress) : { kind: 'APIGroupList', apiVersion: 'v1', groups: [...groupsOf(registry, remote)].map(([name, versions]) => groupOf(name, versions)) })
  }
  if (path === '') return reply({ paths: rootPaths(registry, remote) })
  const [, root, ...rest] = path.split('/')
  if (root === 'api' && rest.length === 1) return resourceList(registry, '', rest[0] ?? '')
  if (root !== 'apis') return undefined
  const [group = '', version] = rest
  const versions = rest.length === 1 && group !== '' ? groupsOf(registry, remote).get(group) : undefined
  if (versions !== undefined) return reply({ kind: 'APIGroup', apiVersion: 'v1', ...groupOf(group, versions) })
  return rest.length === 2 && group !== '' ? resourceList(registry, group, version ?? '') : undefined
}

const otherPaths = ['/.well-known/openid-configuration', '/api', '/api/v1', '/apis', '/healthz', '/livez', '/metrics', '/openapi/v2', '/openapi/v3', '/openid/v1/jwks', '/readyz', '/version']

/** What `/` lists. */
function rootPaths(registry: Registry, remote: Discoverable['remote']): string[] {
  const groups = [...groupsOf(registry, remote)].flatMap(([group, versions]) => [`/apis/${group}`, ...versions.map(({ version }) => `/apis/${group}/${version}`)])
  return [...otherPaths, ...groups].toSorted()
}

function reply(value: unknown, headers: Readonly<Record<string, string>> = {}): Reply {
  return bytesReply(200, [Buffer.from(JSON.stringify(value))], headers)
}

function coreVersions(registry: Registry, serverAddress: string): Json {
  return { kind: 'APIVersions', versions: registry.groups().get('') ?? [], serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress }] }
}

function localVersion(registry: Registry, group: string, version: string): Version {
  return { version, freshness: 'Current', aggregated: () => registry.ofGroupVersion(group, version).map(aggregatedResource) }
}

function coreGroup(registry: Registry): Map<string, Version[]> {
  return new Map([['', (registry.groups().get('') ?? []).map((version) => localVersion(registry, '', version))]])
}

/** The named groups. A version that another server was named for is that server's, whatever is served here. */
function groupsOf(registry: Registry, remote: readonly RemoteVersion[]): Map<string, Version[]> {
  const groups = new Map<string, Version[]>()
  const isRemote = new Set(remote.map(({ group, version }) => `${group}/${version}`))
  for (const [group, versions] of registry.groups()) {
    const own = versions.filter((version) => !isRemote.has(`${group}/${version}`))
    if (group !== '' && own.length > 0) groups.set(group, own.map((version) => localVersion(registry, group, version)))
  }
  for (const { group, version, isAvailable, resources } of remote) {
    const aggregated = (): readonly Json[] => remoteResources({ group, version, resources })
    groups.set(group, [...(groups.get(group) ?? []), { version, freshness: isAvailable ? 'Current' : 'Stale', aggregated }])
  }
  return groups
}

/** An APIResourceList in the form of aggregated discovery, which has subresources below their resource. */
function remoteResources({ group, version, resources }: Pick<RemoteVersion, 'group' | 'version' | 'resources'>): readonly Json[] {
  const kindOf = (one: Json): Json => ({ group: one['group'] ?? group, version: one['version'] ?? version, kind: one['kind'] })
  const nameOf = ({ name }: Json): string => (typeof name === 'string' ? name : '')
  return resources.filter((one) => !nameOf(one).includes('/')).map((one) => {
    const below = resources.filter((other) => nameOf(other).startsWith(`${nameOf(one)}/`))
    const { singularName, namespaced, verbs, shortNames, categories } = one
    return {
      resource: one['name'], responseKind: kindOf(one), scope: namespaced === true ? 'Namespaced' : 'Cluster', singularResource: singularName, verbs,
      ...(shortNames === undefined ? {} : { shortNames }), ...(categories === undefined ? {} : { categories }),
      ...(below.length === 0 ? {} : { subresources: below.map((other) => ({ subresource: nameOf(other).slice(nameOf(one).length + 1), responseKind: kindOf(other), verbs: other['verbs'] })) }),
    }
  })
}

function groupOf(name: string, of: readonly Version[]): Json {
  const versions = of.map(({ version }) => ({ groupVersion: `${name}/${version}`, version }))
  return { name, versions, preferredVersion: versions[0] }
}

function resourceList(registry: Registry, group: string, version: string): Reply | undefined {
  const descriptors = registry.ofGroupVersion(group, version)
  if (descriptors.length === 0) return undefined
  return reply({ kind: 'APIResourceList', apiVersion: 'v1', groupVersion: apiVersionOf({ group, version }), resources: descriptors.flatMap(plainResources) })
}

function plainResources(descriptor: ResourceDescriptor): Json[] {
  const { plural, singular, kind, namespaced, shortNames, categories } = descriptor
  const own = {
    name: plural, singularName: singular, namespaced, kind, verbs: verbsOf(descriptor),
    ...(shortNames === undefined ? {} : { shortNames }), ...(categories === undefined ? {} : { categories }),
  }
  const below = (descriptor.subresources ?? []).map((name) => {
    const { group, version, verbs } = subresources[name]
    return { name: `${plural}/${name}`, singularName: '', namespaced, ...(group === undefined ? {} : { group }), ...(version === undefined ? {} : { version }), kind: subresourceKind(descriptor, name), verbs }
  })
  return [own, ...below]
}

function subresourceKind({ kind }: ResourceDescriptor, name: Subresource): string {
  return subresources[name].kind ?? (name === 'proxy' ? (proxyKinds[kind] ?? kind) : kind)
}

/** The version of the aggregated document that the client would rather have than the plain one. */
function aggregatedVersion(accept: string | undefined): string | undefined {
  for (const clause of (accept ?? '').split(',')) {
    const [type = '', ...parameters] = clause.split(';').map((part) => part.trim())
    const values = new Map(parameters.map((parameter) => parameter.split('=', 2) as [string, string]))
    if (values.get('as') === 'APIGroupDiscoveryList' && values.get('g') === 'apidiscovery.k8s.io') {
      const version = values.get('v') ?? ''
      if (type === 'application/json' && (version === 'v2' || version === 'v2beta1')) return version
    } else if (type === 'application/json' || type === '*/*') return undefined
  }
  return undefined
}

function aggregatedReply(groups: ReadonlyMap<string, readonly Version[]>, version: string, request: HttpRequest): Reply {
  const items = [...groups].map(([name, versions]) => ({
    metadata: { ...(name === '' ? {} : { name }), creationTimestamp: null },
    versions: versions.map((one) => ({ version: one.version, freshness: one.freshness, resources: one.aggregated() })),
  }))
  const body = Buffer.from(JSON.stringify({ kind: 'APIGroupDiscoveryList', apiVersion: `apidiscovery.k8s.io/${version}`, metadata: {}, items }))
  const etag = `"${createHash('sha512').update(body).digest('hex').toUpperCase()}"`
  const headers = { etag, 'content-type': `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`, vary: 'Accept', 'cache-control': 'public' }
  if (request.headers['if-none-match'] === etag) return { status: 304, headers, body: [] }
  return bytesReply(200, [body], headers)
}

function aggregatedResource(descriptor: ResourceDescriptor): Json {
  const { group, version, plural, singular, kind, namespaced, shortNames, categories } = descriptor
  return {
    resource: plural,
    responseKind: { group, version, kind },
    scope: namespaced ? 'Namespaced' : 'Cluster',
    singularResource: singular,
    verbs: verbsOf(descriptor),
    ...(shortNames === undefined ? {} : { shortNames }),
    ...(categories === undefined ? {} : { categories }),
    ...(descriptor.subresources === undefined ? {} : { subresources: descriptor.subresources.map((name) => aggregatedSubresource(descriptor, name)) }),
  }
}

function aggregatedSubresource(descriptor: ResourceDescriptor, name: Subresource): Json {
  const { group = subresources[name].version === undefined ? descriptor.group : '', version = descriptor.version, verbs } = subresources[name]
  return { subresource: name, responseKind: { group, version, kind: subresourceKind(descriptor, name) }, verbs }
}
