/** A cluster with every kind of name in the Kubernetes DNS specification 1.1.0, and what to ask it. */
import type { EndpointSlice, KubeObject, Namespace, Pod, Service } from '../../api/types.ts'

const inDefault = (name: string, spec: Service['spec']): Service => ({ metadata: { name, namespace: 'default' }, spec })
const tcp = (name: string | undefined, port: number): { name?: string; port: number; protocol: 'TCP' } => ({ ...(name === undefined ? {} : { name }), port, protocol: 'TCP' })

interface SliceParts {
  readonly suffix?: string
  readonly addressType?: EndpointSlice['addressType']
  readonly endpoints: readonly { readonly addresses: readonly string[]; readonly hostname?: string; readonly ready?: boolean }[]
  readonly ports?: readonly { readonly name?: string; readonly port: number; readonly protocol?: 'TCP' | 'UDP' | 'SCTP' }[]
}

/** A slice of a service in namespace default. */
export function sliceOf(of: string, { suffix = 'a', addressType = 'IPv4', endpoints, ports = [] }: SliceParts): EndpointSlice {
  return {
    metadata: { name: `${of}-${suffix}`, namespace: 'default', labels: { 'kubernetes.io/service-name': of } }, addressType,
    endpoints: endpoints.map(({ addresses, hostname, ready = true }) => ({ addresses: [...addresses], conditions: { ready }, ...(hostname === undefined ? {} : { hostname }) })),
    ports: ports.map(({ protocol = 'TCP', ...port }) => ({ ...port, protocol })),
  }
}

const services: readonly Service[] = [
  inDefault('web', { clusterIP: '10.96.0.7', clusterIPs: ['10.96.0.7'], ports: [tcp('http', 80), tcp('https', 443), { name: 'quic', port: 443, protocol: 'UDP' }] }),
  inDefault('dual', { clusterIP: '10.96.0.8', clusterIPs: ['10.96.0.8', 'fd00:10:96::8'], ports: [tcp('http', 80)] }),
  inDefault('six', { clusterIP: 'fd00:10:96::9', clusterIPs: ['fd00:10:96::9'], ports: [tcp('http', 80)] }),
  inDefault('unnamed', { clusterIP: '10.96.0.11', clusterIPs: ['10.96.0.11'], ports: [tcp(undefined, 80)] }),
  inDefault('db', { clusterIP: 'None', ports: [tcp('sql', 5432)] }),
  inDefault('shared', { clusterIP: 'None', ports: [tcp('sql', 5432)] }),
  inDefault('both', { clusterIP: 'None', ports: [tcp('sql', 5432)] }),
  inDefault('portless', { clusterIP: 'None' }),
  inDefault('unready', { clusterIP: 'None', ports: [tcp('sql', 5432)] }),
  inDefault('outside', { type: 'ExternalName', externalName: 'www.example.com' }),
  inDefault('alias', { type: 'ExternalName', externalName: 'web.default.svc.cluster.local' }),
  inDefault('dangling', { type: 'ExternalName', externalName: 'nothing.default.svc.cluster.local' }),
  inDefault('round', { type: 'ExternalName', externalName: 'trip.default.svc.cluster.local' }),
  inDefault('trip', { type: 'ExternalName', externalName: 'round.default.svc.cluster.local' }),
]
const sql = [{ name: 'sql', port: 5432 }]
const slices: readonly EndpointSlice[] = [
  sliceOf('web', { endpoints: [{ addresses: ['10.244.0.20'] }], ports: [{ name: 'http', port: 8080 }] }),
  sliceOf('db', { endpoints: [{ addresses: ['10.244.0.5'], hostname: 'db-0' }, { addresses: ['10.244.1.6'] }, { addresses: ['10.244.1.7'], ready: false }], ports: sql }),
  sliceOf('shared', { endpoints: [{ addresses: ['10.244.0.30'], hostname: 'same' }, { addresses: ['10.244.0.31'], hostname: 'same' }], ports: sql }),
  sliceOf('both', { suffix: '4', endpoints: [{ addresses: ['10.244.0.40'], hostname: 'both-0' }], ports: sql }),
  sliceOf('both', { suffix: '6', addressType: 'IPv6', endpoints: [{ addresses: ['fd00:10:244::40'], hostname: 'both-0' }], ports: sql }),
  sliceOf('portless', { endpoints: [{ addresses: ['10.244.0.50'] }] }),
  sliceOf('unready', { endpoints: [{ addresses: ['10.244.0.60'], ready: false }], ports: sql }),
]
const namespaces: readonly Namespace[] = [{ metadata: { name: 'default' } }, { metadata: { name: 'empty' } }]
const pods: readonly Pod[] = [{ metadata: { name: 'p', namespace: 'default' }, spec: { containers: [] }, status: { podIP: '10.244.0.9', podIPs: [{ ip: '10.244.0.9' }, { ip: 'fd00:10:244::9' }] } }]

export const specificationCluster: Readonly<Record<string, readonly KubeObject[]>> = { namespaces, services, endpointslices: slices, pods }

/** `# section` lines and questions `NAME TYPE`; names without a dot at the end are below `svc.cluster.local.` */
export const specificationQuestions = `
# 2.2 schema version
dns-version.cluster.local. TXT
dns-version.cluster.local. A
# 2.3.1 A and AAAA of services with a cluster IP
web.default A
WEB.Default A
web.default AAAA
dual.default A
dual.default AAAA
six.default A
six.default AAAA
# 2.3.2 SRV
_http._tcp.web.default SRV
_https._tcp.web.default SRV
_quic._udp.web.default SRV
_http._tcp.dual.default SRV
_http._udp.web.default SRV
_nothing._tcp.web.default SRV
web.default SRV
unnamed.default SRV
# 2.3.3 PTR
7.0.96.10.in-addr.arpa. PTR
8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.1.0.0.0.0.d.f.ip6.arpa. PTR
# 2.4.1 headless: A and AAAA
db.default A
db.default AAAA
db-0.db.default A
10-244-1-6.db.default A
10-244-1-7.db.default A
same.shared.default A
both.default A
both.default AAAA
both-0.both.default AAAA
unready.default A
portless.default A
portless.default SRV
# 2.4.2 headless: SRV
_sql._tcp.db.default SRV
_sql._tcp.shared.default SRV
_sql._tcp.both.default SRV
# 2.4.3 headless: PTR
5.0.244.10.in-addr.arpa. PTR
0.4.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.4.4.2.0.0.1.0.0.0.0.d.f.ip6.arpa. PTR
# 2.5.1 external names
outside.default A
outside.default CNAME
alias.default A
alias.default AAAA
dangling.default A
round.default A
# pods (formerly section 2.4 of the specification)
10-244-0-9.default.pod.cluster.local. A
fd00-10-244--9.default.pod.cluster.local. AAAA
10-244-0-8.default.pod.cluster.local. A
10-244-0-9.empty.pod.cluster.local. A
# names above, beside and below
cluster.local. SOA
cluster.local. NS
cluster.local. A
ns.dns.cluster.local. A
ns.dns.cluster.local. AAAA
svc.cluster.local. A
default.svc.cluster.local. A
empty.svc.cluster.local. A
nowhere.svc.cluster.local. A
pod.cluster.local. A
_tcp.web.default A
nothing.default A
below.web.default A
web.default TXT
web.default ANY
other.cluster.local. A
# endpoints of services with a cluster IP, as CoreDNS
10-244-0-20.web.default A
20.0.244.10.in-addr.arpa. PTR
# addresses that are nobody's
1.1.168.192.in-addr.arpa. PTR
168.192.in-addr.arpa. PTR
# names that stay here
localhost. A
anything.invalid. A
example.com. A
`
