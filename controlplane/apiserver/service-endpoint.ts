// Where a service of the cluster is to be reached from here: one of its ready endpoints, out of the server's own cache. Cluster IPs
// exist on hosts with a proxy, and the API server's need not be one.
import type { Random } from '../../api/clock.ts'
import type { EndpointSlice, Service } from '../../api/types.ts'
import type { WatchCache } from './cache/index.ts'
import { notFound, StatusError } from './status.ts'

interface Address {
  readonly host: string
  readonly port: number
}

/** Throws 404 when there is no such service, and 503 when none of its endpoints is ready. `port` is a number, a name, or empty for the first. */
export function serviceEndpoint(cache: WatchCache, random: Random, { namespace, name, port }: { readonly namespace: string; readonly name: string; readonly port: string }): Address {
  const service = cache.named('services')?.get(namespace, name)?.object as unknown as Service | undefined
  if (service === undefined) throw notFound({ group: '', plural: 'services' }, name)
  const { ports = [], type, externalName } = service.spec
  const wanted = port === '' ? ports[0] : ports.find((one) => one.name === port || String(one.port) === port)
  if (type === 'ExternalName' && externalName !== undefined) return { host: externalName, port: wanted?.port ?? (Number(port) || 443) }
  const slices = (cache.named('endpointslices.discovery.k8s.io')?.list(namespace) ?? [])
    .map(({ object }) => object as unknown as EndpointSlice)
    .filter(({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === name)
  for (const slice of slices) {
    const number = slice.ports?.find((one) => (one.name ?? '') === (wanted?.name ?? ''))?.port
    const ready = (slice.endpoints ?? []).filter(({ conditions }) => conditions?.ready !== false)
    const chosen = ready[Math.floor(random() * ready.length)]
    if (wanted !== undefined && number !== undefined && chosen !== undefined) return { host: chosen.addresses[0] ?? '', port: number }
  }
  throw new StatusError(503, 'ServiceUnavailable', `no endpoints available for service ${JSON.stringify(port === '' ? name : `${name}:${port}`)}`)
}
