/** The pod's `/etc/hosts` and `/etc/resolv.conf`. Pure. */
import type { Pod } from '../../api/types.ts'

export interface DnsSettings {
  readonly clusterDNS: readonly string[]
  readonly clusterDomain: string
}

export interface ResolvConf {
  readonly servers: readonly string[]
  readonly searches: readonly string[]
  readonly options: readonly string[]
}

// Limits of glibc 2.26 and newer, as Kubernetes holds to them (validation.MaxDNSNameservers and following).
const serversMax = 3
const searchesMax = 32
const searchCharactersMax = 2048

export function parseResolvConf(text: string): ResolvConf {
  const servers: string[] = []
  let searches: string[] = []
  const options: string[] = []
  for (const line of text.split('\n')) {
    const [keyword, ...values] = line.replace(/[#;].*$/, '').trim().split(/\s+/)
    if (keyword === 'nameserver' && values[0] !== undefined) servers.push(values[0])
    else if (keyword === 'search' || keyword === 'domain') searches = values.map((value) => (value === '.' ? value : value.replace(/\.$/, '')))
    else if (keyword === 'options') options.push(...values)
  }
  return { servers, searches, options }
}

function isDistinct(value: string, index: number, all: readonly string[]): boolean {
  return all.indexOf(value) === index
}

/** Of two options with one name the later wins. */
function mergeOptions(base: readonly string[], more: readonly string[]): string[] {
  const byName = new Map([...base, ...more].map((option) => [option.split(':')[0] ?? option, option]))
  return [...byName.values()]
}

function limited({ servers, searches, options }: ResolvConf): ResolvConf {
  const kept: string[] = []
  let characters = 0
  for (const search of searches.filter(isDistinct).slice(0, searchesMax)) {
    characters += search.length + 1
    if (characters > searchCharactersMax) break
    kept.push(search)
  }
  return { servers: servers.filter(isDistinct).slice(0, serversMax), searches: kept, options }
}

/** What the pod resolves with, by its dnsPolicy and dnsConfig. `host` is the host's own resolv.conf. */
export function resolvConfOf(pod: Pod, settings: DnsSettings, host: ResolvConf): ResolvConf {
  const { dnsPolicy = 'ClusterFirst', dnsConfig, hostNetwork } = pod.spec
  const usesCluster = dnsPolicy === 'ClusterFirstWithHostNet' || (dnsPolicy === 'ClusterFirst' && hostNetwork !== true)
  const { clusterDNS, clusterDomain } = settings
  const namespace = pod.metadata.namespace ?? 'default'
  const base: ResolvConf = dnsPolicy === 'None' ? { servers: [], searches: [], options: [] }
    : usesCluster && clusterDNS.length > 0
      ? { servers: clusterDNS, searches: [`${namespace}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain, ...host.searches], options: ['ndots:5'] }
      : host
  return limited({
    servers: [...base.servers, ...(dnsConfig?.nameservers ?? [])],
    searches: [...base.searches, ...(dnsConfig?.searches ?? [])],
    options: mergeOptions(base.options, (dnsConfig?.options ?? []).map(({ name, value }) => (value === undefined ? (name ?? '') : `${name}:${value}`))),
  })
}

export function renderResolvConf({ servers, searches, options }: ResolvConf): string {
  const lines = servers.map((server) => `nameserver ${server}`)
  if (searches.length > 0) lines.push(`search ${searches.join(' ')}`)
  if (options.length > 0) lines.push(`options ${options.join(' ')}`)
  return lines.map((line) => `${line}\n`).join('')
}

/** The pod's host name: `spec.hostname` or the pod's name, cut to what the kernel takes. */
export function hostnameOf({ metadata, spec }: Pod): string {
  return (spec.hostname ?? metadata.name ?? '').slice(0, 63).replace(/[-.]+$/, '')
}

/** The pod's full name in the cluster's domain; empty without a subdomain. */
export function fullNameOf(pod: Pod, clusterDomain: string): string {
  const { subdomain } = pod.spec
  return subdomain === undefined || subdomain === '' ? '' : `${hostnameOf(pod)}.${subdomain}.${pod.metadata.namespace}.svc.${clusterDomain}`
}

function aliasLines(pod: Pod): string {
  const aliases = pod.spec.hostAliases ?? []
  if (aliases.length === 0) return ''
  return `\n# Entries added by HostAliases.\n${aliases.map(({ ip, hostnames }) => `${ip}\t${(hostnames ?? []).join('\t')}\n`).join('')}`
}

/** `/etc/hosts`; a pod on the host's network gets the host's, with its aliases. */
export function renderHosts(pod: Pod, podIPs: readonly string[], clusterDomain: string, hostFile: string): string {
  if (pod.spec.hostNetwork === true) return `# Kubernetes-managed hosts file (host network).\n${hostFile}${aliasLines(pod)}`
  const names = [fullNameOf(pod, clusterDomain), hostnameOf(pod)].filter((name) => name !== '').join('\t')
  const fixed = ['127.0.0.1\tlocalhost', '::1\tlocalhost ip6-localhost ip6-loopback', 'fe00::\tip6-localnet', 'fe00::\tip6-mcastprefix', 'fe00::1\tip6-allnodes', 'fe00::2\tip6-allrouters']
  return ['# Kubernetes-managed hosts file.', ...fixed, ...podIPs.map((ip) => `${ip}\t${names}`), ''].join('\n') + aliasLines(pod)
}
