// proxy: HTTP through the API server to a node's kubelet, a pod, or an endpoint of a service.
// Names are `web`, `web:8080`, `web:http` or `https:web:443`.
import type { Node, Pod } from '../../../api/types.ts'
import type { Reply, Upstream } from '../http.ts'
import type { Call } from '../routes/call.ts'
import { serviceEndpoint } from '../service-endpoint.ts'
import { badRequest, StatusError } from '../status.ts'
import { admitConnection } from './connect.ts'

/** The request is led on as it is, by the server that has the client's connection. */
export async function proxy(call: Call): Promise<Reply> {
  const forward = await proxyUpstream(call)
  await admitConnection(call)
  return { status: 200, headers: {}, body: [], forward }
}

/** Where a proxy path leads. */
export async function proxyUpstream(call: Call): Promise<Upstream> {
  const { serving, request, info, descriptor } = call
  const [scheme, name, port] = splitName(info.name)
  const query = request.query.toString()
  const path = `/${info.rest.split('/').map(encodeURIComponent).join('/')}${request.path.endsWith('/') && info.rest !== '' ? '/' : ''}${query === '' ? '' : `?${query}`}`
  // Pods and services of users have certificates of their own, which we do not know: as kube-apiserver, we do not ask.
  const tls = scheme === 'https' ? { tls: { ca: '', certificate: '', key: '' } } : {}
  const entry = await serving.reader.current(descriptor, info.namespace, name)
  if (descriptor.kind === 'Node') return serving.kubelets.upstream(entry.object as unknown as Node, path)
  if (descriptor.kind === 'Pod') return { ...podAddress(entry.object as unknown as Pod, port), path, ...tls }
  return { ...serviceEndpoint(serving.cache, serving.random, { namespace: info.namespace, name, port }), path, ...tls }
}

function splitName(text: string): [scheme: string, name: string, port: string] {
  const parts = text.split(':')
  if (parts.length === 1) return ['http', text, '']
  if (parts.length === 2) return ['http', parts[0] ?? '', parts[1] ?? '']
  if (parts.length === 3 && (parts[0] === 'http' || parts[0] === 'https' || parts[0] === '')) return [parts[0] === '' ? 'http' : parts[0], parts[1] ?? '', parts[2] ?? '']
  throw badRequest(`invalid request "${text}": a name is NAME, NAME:PORT or SCHEME:NAME:PORT`)
}

function podAddress({ metadata, spec, status }: Pod, port: string): { host: string; port: number } {
  const ports = spec.containers.flatMap((container) => container.ports ?? [])
  const number = port === '' ? (ports[0]?.containerPort ?? 80) : /^\d+$/.test(port) ? Number(port) : ports.find(({ name }) => name === port)?.containerPort
  if (number === undefined) throw new StatusError(503, 'ServiceUnavailable', `pod ${metadata.name ?? ''} has no port named ${port}`)
  if (status?.podIP === undefined || status.podIP === '') throw badRequest(`pod ${metadata.name ?? ''} does not have an address yet`)
  return { host: status.podIP, port: number }
}
