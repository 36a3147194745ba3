// Where the service `kubernetes` leads: the address and port of this server, kept in its EndpointSlice as kube-apiserver does.
import type { ResourceDescriptor } from '../descriptor.ts'
import { equalJson } from '../object.ts'
import type { ApiObject } from '../object.ts'
import type { Registry } from '../registry.ts'
import { StatusError } from '../status.ts'
import type { Writer } from '../write/writer.ts'
import { serverUser } from './objects.ts'

const namespace = 'default'
const name = 'kubernetes'

/** Makes slice and endpoints of `default/kubernetes` say where we are. */
export async function ensureKubernetesEndpoints({ writer, registry }: { readonly writer: Writer; readonly registry: Registry }, address: string, port: number): Promise<void> {
  const ports = [{ name: 'https', port, protocol: 'TCP' }]
  const slice: ApiObject = {
    metadata: { name, namespace, labels: { 'kubernetes.io/service-name': name } },
    addressType: address.includes(':') ? 'IPv6' : 'IPv4',
    endpoints: [{ addresses: [address], conditions: { ready: true } }],
    ports,
  }
  const endpoints: ApiObject = { metadata: { name, namespace, labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' } }, subsets: [{ addresses: [{ ip: address }], ports }] }
  for (const [resource, object] of [['endpointslices.discovery.k8s.io', slice], ['endpoints', endpoints]] as const) {
    const descriptor = registry.named(resource)
    if (descriptor !== undefined) await put(writer, descriptor, object)
  }
}

async function put(writer: Writer, descriptor: ResourceDescriptor, object: ApiObject): Promise<void> {
  const { metadata, ...content } = object
  const replace = (current: ApiObject): ApiObject => {
    const next = { ...current, ...structuredClone(content), metadata: { ...current.metadata, labels: { ...current.metadata.labels, ...metadata.labels } } }
    return equalJson(next, current) ? current : next
  }
  const write = { user: serverUser }
  try {
    await writer.update({ descriptor, namespace, name }, { part: 'main', make: replace }, write)
  } catch (error) {
    if (!(error instanceof StatusError && error.code === 404)) throw error
    await writer.create(descriptor, namespace, structuredClone(object), write)
  }
}
