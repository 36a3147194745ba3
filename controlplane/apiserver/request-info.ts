// From method and path to what is asked for: the counterpart of k8s.io/apiserver's RequestInfo.
import { badRequest } from './status.ts'

export interface RequestInfo {
  /** False for paths such as /healthz and for discovery; then `verb` is the lower-case method. */
  readonly isResource: boolean
  readonly path: string
  /** get, list, watch, create, update, patch, delete, deletecollection. */
  readonly verb: string
  readonly group: string
  readonly version: string
  readonly resource: string
  readonly subresource: string
  /** Empty for cluster-scoped resources and for requests over all namespaces. */
  readonly namespace: string
  readonly name: string
  /** What follows the subresource: `proxy/a/b` leaves `a/b`. */
  readonly rest: string
}

const verbs: Readonly<Record<string, string>> = { POST: 'create', GET: 'get', HEAD: 'get', PUT: 'update', PATCH: 'patch', DELETE: 'delete' }

/** Subresources of Namespace itself; any other third part is a resource in the namespace. */
const namespaceSubresources = new Set(['status', 'finalize'])

export function parseRequest(method: string, path: string, query: URLSearchParams): RequestInfo {
  const none = { isResource: false, path, verb: method.toLowerCase(), group: '', version: '', resource: '', subresource: '', namespace: '', name: '', rest: '' }
  const parts = decodeParts(path)
  const isCore = parts[0] === 'api'
  if (!isCore && parts[0] !== 'apis') return none
  const [group = '', version = ''] = isCore ? ['', parts[1]] : [parts[1], parts[2]]
  let rest = parts.slice(isCore ? 2 : 3)
  if (rest.length === 0) return none
  let verb = verbs[method] ?? method.toLowerCase()
  // The old way to ask for a watch: /api/v1/watch/pods.
  const oldWatch = rest[0] === 'watch' && rest.length > 1
  if (oldWatch) rest = rest.slice(1)
  let namespace = ''
  if (rest[0] === 'namespaces' && rest.length > 2 && !namespaceSubresources.has(rest[2] ?? '')) {
    namespace = rest[1] ?? ''
    rest = rest.slice(2)
  } else if (rest[0] === 'namespaces' && rest.length > 1) namespace = rest[1] ?? ''
  const [resource = '', name = '', subresource = '', ...more] = rest
  if (name === '' && verb === 'get') verb = isTrue(query.get('watch')) || oldWatch ? 'watch' : 'list'
  else if (verb === 'get' && (oldWatch || (subresource === '' && isTrue(query.get('watch'))))) verb = 'watch'
  if (name === '' && verb === 'delete') verb = 'deletecollection'
  return { isResource: true, path, verb, group, version, resource, subresource, namespace, name, rest: more.join('/') }
}

function decodeParts(path: string): string[] {
  try {
    return path.split('/').filter((part) => part !== '').map(decodeURIComponent)
  } catch {
    throw badRequest(`the path is not valid: ${path}`)
  }
}

/** How Kubernetes reads booleans in queries: anything but "false" and "0". */
export function isTrue(value: string | null): boolean {
  return value !== null && value !== '' && value !== 'false' && value !== '0'
}
