/** What is counted, under CoreDNS's names where it has them (https://coredns.io/plugins/metrics/), so that its dashboards and alerts work. */
import { transports } from '../answers/counts.ts'
import type { Transport } from '../answers/handler.ts'
import { Histogram } from '../answers/histogram.ts'
import type { Responder } from '../answers/responder.ts'
import { nameOf } from '../forward/upstream.ts'
import { rcodeName, typeName } from '../wire/index.ts'
import type { Readiness } from './health.ts'

type Labels = Readonly<Record<string, string>>
type Sample = readonly [labels: Labels, value: number | Histogram]

export interface Measured {
  readonly names: Readiness
  readonly responder: Responder
  readonly config?: { readonly refused: number } | undefined
}

/** CoreDNS names a server by its scheme and port, and the zone of its block, which is `.` where people run one for a cluster. */
const servers: Readonly<Record<Transport, Labels>> = { udp: serverLabels('dns', 53), tcp: serverLabels('dns', 53), tls: serverLabels('tls', 853), https: serverLabels('https', 443) }

function serverLabels(scheme: string, port: number): Labels {
  return { server: `${scheme}://:${port}`, zone: '.', view: '' }
}

/** Prometheus text format 0.0.4. */
export function metrics(measured: Measured): string {
  return [...ofQuestions(measured), ...ofOthers(measured), ...ofNames(measured)].join('')
}

function ofQuestions({ responder: { counts }, config }: Measured): string[] {
  const inAll = servers.udp
  const byTransport = (histograms: readonly Histogram[], more: (transport: Transport) => Labels = () => ({})): Sample[] => transports.flatMap((transport, at) => {
    const histogram = histograms[at]
    return histogram === undefined || histogram.count === 0 ? [] : [[{ ...servers[transport], ...more(transport) }, histogram] as const]
  })
  const proto = (transport: Transport): Labels => ({ proto: transport })
  return [
    family('coredns_build_info', 'gauge', 'Who answers.', [[{ version: 'fairway', goversion: '', revision: '' }, 1]]),
    family('coredns_plugin_enabled', 'gauge', 'What answers.', ['kubernetes', 'forward', 'cache', 'errors', 'loop', 'loadbalance', 'reload'].map((name) => [{ ...inAll, name }, 1])),
    family('coredns_dns_requests_total', 'counter', 'Questions.', [...counts.byType()].map(({ transport, isV6, type, count }) => [{ ...servers[transport], family: isV6 ? '2' : '1', proto: transport, type: type === undefined ? 'other' : typeName(type) }, count])),
    family('coredns_dns_request_duration_seconds', 'histogram', 'From a question to its answer.', merged(byTransport(counts.durations))),
    family('coredns_dns_request_size_bytes', 'histogram', 'Sizes of questions.', byTransport(counts.requestSizes, proto)),
    family('coredns_dns_do_requests_total', 'counter', 'Questions that ask for DNSSEC.', [[inAll, counts.dnssecOk]]),
    family('coredns_dns_response_size_bytes', 'histogram', 'Sizes of answers.', byTransport(counts.responseSizes, proto)),
    family('coredns_dns_responses_total', 'counter', 'Answers.', [...counts.byRcode()].map(({ rcode, plugin, count }) => [{ ...inAll, rcode: rcodeName(rcode), plugin }, count])),
    family('coredns_dns_https_responses_total', 'counter', 'Answers by HTTPS.', [...counts.byHttpsStatus].map(([status, count]) => [{ server: servers.https['server'] ?? '', status: String(status) }, count])),
    family('coredns_panics_total', 'counter', 'Questions whose answering failed.', [[{}, counts.failed]]),
    family('coredns_reload_failed_total', 'counter', 'Configurations that were refused.', [[{}, config?.refused ?? 0]]),
  ]
}

function ofOthers({ names }: Measured): string[] {
  const { forwarders } = names.outside
  const asked = forwarders.flatMap(({ forwarder }) => forwarder.servers)
  const ofZones = (value: (forwarder: (typeof forwarders)[number]['forwarder']) => number): Sample[] => forwarders.map(({ zone, forwarder }) => [{ server: servers.udp['server'] ?? '', zones: zone, view: '' }, value(forwarder)])
  const ofServers = (value: (counts: (typeof asked)[number]['counts']) => number, as: 'to' | 'proxy_name' = 'to'): Sample[] => asked.map(({ upstream, counts }) => [{ ...(as === 'to' ? {} : { proxy_name: 'forward' }), to: nameOf(upstream) }, value(counts)])
  const byRcode = asked.flatMap(({ upstream, counts }) => [...counts.byRcode].map(([rcode, count]): Sample => [{ to: nameOf(upstream), rcode: rcodeName(rcode) }, count]))
  const durations = (labels: Labels): Sample[] => asked.flatMap(({ upstream, counts }) => [...counts.durations].map(([rcode, histogram]): Sample => [{ ...labels, to: nameOf(upstream), rcode: rcodeName(rcode) }, histogram]))
  return [
    family('coredns_cache_requests_total', 'counter', 'Questions that what other servers said before might answer.', ofZones(({ cache: { hits, misses } }) => hits + misses)),
    family('coredns_cache_hits_total', 'counter', 'Answers from what other servers said before.', ofZones(({ cache: { hits } }) => hits)),
    family('coredns_cache_misses_total', 'counter', 'Questions that had to be asked elsewhere.', ofZones(({ cache: { misses } }) => misses)),
    family('coredns_cache_entries', 'gauge', 'Answers of other servers that are kept.', ofZones(({ cache: { size } }) => size)),
    family('coredns_cache_prefetch_total', 'counter', 'Answers that were fetched anew before their time was over.', ofZones(({ prefetches }) => prefetches)),
    family('coredns_cache_served_stale_total', 'counter', 'Answers given after their time.', ofZones(({ staleAnswers }) => staleAnswers)),
    family('coredns_forward_requests_total', 'counter', 'Questions to other servers.', ofServers((counts) => counts.asked)),
    family('coredns_forward_responses_total', 'counter', 'Answers of other servers.', byRcode),
    family('coredns_forward_request_duration_seconds', 'histogram', 'How long other servers take.', durations({})),
    family('coredns_proxy_request_duration_seconds', 'histogram', 'The same, under the name of newer versions.', durations({ proxy_name: 'forward' })),
    family('coredns_forward_healthcheck_failures_total', 'counter', 'Questions that another server did not answer.', ofServers((counts) => counts.failed)),
    family('coredns_proxy_healthcheck_failures_total', 'counter', 'The same, under the name of newer versions.', ofServers((counts) => counts.failed, 'proxy_name')),
    family('coredns_forward_max_concurrent_rejects_total', 'counter', 'Questions that were too many at once.', [[{}, forwarders.reduce((all, { forwarder }) => all + forwarder.rejects, 0)]]),
  ]
}

function ofNames({ names, responder: { counts, cache } }: Measured): string[] {
  const stale = names.staleSeconds
  return [
    family('coredns_autopath_success_total', 'counter', 'Searches that found a name.', [[{ server: servers.udp['server'] ?? '' }, names.autopath?.found ?? 0]]),
    family('coredns_kubernetes_dns_programming_duration_seconds', 'histogram', 'From the change of an endpoint to its name.', names.programming.count === 0 ? [] : [[{ service_kind: 'headless_with_selector' }, names.programming]]),
    family('fairway_dns_malformed_total', 'counter', 'Packets that are no questions.', [[{}, counts.malformed]]),
    family('fairway_dns_limited_total', 'counter', 'Questions over the rate limit of their client.', [[{}, counts.limited]]),
    family('fairway_dns_rendered_hits_total', 'counter', 'Answers that were ready.', [[{}, cache.hits]]),
    family('fairway_dns_rendered_entries', 'gauge', 'Answers that are ready.', [[{}, cache.size]]),
    family('fairway_dns_watch_connected', 'gauge', 'Whether every watch is open.', [[{}, names.isCurrent ? 1 : 0]]),
    family('fairway_dns_stale_seconds', 'gauge', "For how long the cluster's names may have been old.", stale === undefined ? [] : [[{}, stale]]),
  ]
}

/** Those of UDP and TCP are one server's. */
function merged(samples: readonly Sample[]): Sample[] {
  const byServer = Map.groupBy(samples, ([labels]) => labels['server'])
  return [...byServer.values()].flatMap((group) => {
    const [first] = group
    if (first === undefined || group.length === 1) return group
    return [[first[0], Histogram.sum(group.flatMap(([, value]) => (value instanceof Histogram ? [value] : [])))] as const]
  })
}

function family(name: string, type: 'counter' | 'gauge' | 'histogram', help: string, samples: readonly Sample[]): string {
  const lines = samples.flatMap(([labels, value]) => {
    if (typeof value === 'number') return [line(name, labels, value)]
    return [...[...value.cumulative()].map(([le, count]) => line(`${name}_bucket`, { ...labels, le }, count)), line(`${name}_sum`, labels, value.sum), line(`${name}_count`, labels, value.count)]
  })
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`
}

function line(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([key, text]) => `${key}=${JSON.stringify(text)}`)
  return `${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${value}\n`
}
