// exec, attach, port-forward: connections that are led to the pod's kubelet.
import type { Node, Pod } from '../../../api/types.ts'
import type { Upstream } from '../http.ts'
import { isTrue } from '../request-info.ts'
import { hasSubresource } from '../registry.ts'
import type { Call } from '../routes/call.ts'
import { proxyUpstream } from './proxy.ts'
import { badRequest, forbidden, noSuchPath, notFound } from '../status.ts'

/** How the kubelet calls what the API calls stdin, stdout, stderr and tty. */
const kubeletNames = { stdin: 'input', stdout: 'output', stderr: 'error', tty: 'tty' } as const

/** Where a connection to a subresource of a pod goes. */
export async function streamUpstream(call: Call): Promise<Upstream> {
  const { serving, request, info, descriptor } = call
  const name = info.subresource
  if (name === 'proxy' && hasSubresource(descriptor, 'proxy')) return proxyUpstream(call)
  if (name !== 'exec' && name !== 'attach' && name !== 'portforward') throw badRequest('this resource has no connection that could be upgraded')
  if (!hasSubresource(descriptor, name)) throw noSuchPath()
  mayBegin(call)
  const pod = (await serving.reader.current(descriptor, info.namespace, info.name)).object as unknown as Pod
  const where = `${encodeURIComponent(info.namespace)}/${encodeURIComponent(info.name)}`
  if (name === 'portforward') return serving.kubelets.upstream(nodeOf(call, pod), `/portForward/${where}${queryText(request.query)}`)
  const container = containerOf(pod, request.query.get('container'))
  const query = new URLSearchParams()
  for (const part of request.query.getAll('command')) query.append('command', part)
  for (const [ours, theirs] of Object.entries(kubeletNames)) if (isTrue(request.query.get(ours))) query.set(theirs, '1')
  return serving.kubelets.upstream(nodeOf(call, pod), `/${name}/${where}/${encodeURIComponent(container)}${queryText(query)}`)
}

/** A WebSocket is asked for with a GET, but is no reading: who begins a session must be allowed to create it (as Kubernetes has it from 1.35 on). */
function mayBegin({ serving, user, info, descriptor }: Call): void {
  if (info.verb === 'create' || serving.authorizer.isAllowed(user, { ...info, verb: 'create' })) return
  throw forbidden(descriptor, info.name, `User "${user.name}" cannot create resource "${info.resource}/${info.subresource}" in API group "" in the namespace "${info.namespace}"`)
}

/** The node that a pod runs on. */
export function nodeOf({ serving }: Call, pod: Pod): Node {
  const { name = '' } = pod.metadata
  const nodeName = pod.spec.nodeName ?? ''
  if (nodeName === '') throw badRequest(`pod ${name} does not have a host assigned`)
  const node = serving.cache.named('nodes')?.get('', nodeName)
  if (node === undefined) throw notFound({ group: '', plural: 'nodes' }, nodeName)
  return node.object as unknown as Node
}

/** The container asked for, or the only one, or the one that the pod calls its default. */
export function containerOf(pod: Pod, asked: string | null): string {
  const { name = '', annotations = {} } = pod.metadata
  const { containers, initContainers = [], ephemeralContainers = [] } = pod.spec as Pod['spec'] & { ephemeralContainers?: { name: string }[] }
  const all = [...containers, ...initContainers, ...ephemeralContainers].map((container) => container.name)
  const wanted = asked ?? ''
  if (wanted !== '') {
    if (!all.includes(wanted)) throw badRequest(`container ${wanted} is not valid for pod ${name}`)
    return wanted
  }
  const preferred = annotations['kubectl.kubernetes.io/default-container']
  if (preferred !== undefined && all.includes(preferred)) return preferred
  const [only, ...others] = containers.map((container) => container.name)
  if (only !== undefined && others.length === 0) return only
  throw badRequest(`a container name must be specified for pod ${name}, choose one of: [${containers.map((container) => container.name).join(' ')}]`)
}

export function queryText(query: URLSearchParams): string {
  const text = query.toString()
  return text === '' ? '' : `?${text}`
}
