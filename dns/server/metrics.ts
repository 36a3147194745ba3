/** What is counted, under CoreDNS's names where it has them (https://coredns.io/plugins/metrics/), so that its dashboards and alerts work. */
import type { Responder } from '../answers/responder.ts'
import { nameOf } from '../forward/upstream.ts'
import { rcodeName, typeName } from '../wire/index.ts'
import type { Readiness } from './health.ts'

type Labels = Readonly<Record<string, string>>
type Sample = readonly [labels: Labels, value: number]

export interface Measured {
  readonly names: Readiness
  readonly responder: Responder
  readonly config?: { readonly refused: number } | undefined
}

/** Prometheus text format 0.0.4. */
export function metrics({ names, responder: { counts, cache }, config }: Measured): string {
  const { forwarders } = names.outside
  const servers = forwarders.flatMap(({ forwarder }) => forwarder.servers)
  const ofZones = (value: (forwarder: (typeof forwarders)[number]['forwarder']) => number): Sample[] => forwarders.map(({ zone, forwarder }) => [{ zones: zone }, value(forwarder)])
  const stale = names.staleSeconds
  return [
    family('coredns_build_info', 'gauge', 'Who answers.', [[{ version: 'fairway', goversion: '', revision: '' }, 1]]),
    family('coredns_dns_requests_total', 'counter', 'Questions.', [...counts.byType()].map(({ transport, isV6, type, count }) => [{ family: isV6 ? '2' : '1', proto: transport, type: type === undefined ? 'other' : typeName(type) }, count])),
    family('coredns_dns_responses_total', 'counter', 'Answers.', [...counts.byRcode.entries()].filter(([, count]) => count > 0).map(([rcode, count]) => [{ rcode: rcodeName(rcode) }, count])),
    family('coredns_panics_total', 'counter', 'Questions whose answering failed.', [[{}, counts.failed]]),
    family('coredns_reload_failed_total', 'counter', 'Configurations that were refused.', [[{}, config?.refused ?? 0]]),
    family('coredns_cache_hits_total', 'counter', 'Answers from what other servers said before.', ofZones(({ cache: { hits } }) => hits)),
    family('coredns_cache_misses_total', 'counter', 'Questions that had to be asked elsewhere.', ofZones(({ cache: { misses } }) => misses)),
    family('coredns_cache_entries', 'gauge', 'Answers of other servers that are kept.', ofZones(({ cache: { size } }) => size)),
    family('coredns_cache_served_stale_total', 'counter', 'Answers given after their time.', ofZones(({ staleAnswers }) => staleAnswers)),
    family('coredns_forward_requests_total', 'counter', 'Questions to other servers.', servers.map(({ upstream, counts: { asked } }) => [{ to: nameOf(upstream) }, asked])),
    family('coredns_forward_responses_total', 'counter', 'Answers of other servers.', servers.flatMap(({ upstream, counts: { byRcode } }) => [...byRcode].map(([rcode, count]): Sample => [{ to: nameOf(upstream), rcode: rcodeName(rcode) }, count]))),
    family('coredns_forward_healthcheck_failures_total', 'counter', 'Questions that another server did not answer.', servers.map(({ upstream, counts: { failed } }) => [{ to: nameOf(upstream) }, failed])),
    family('fairway_dns_malformed_total', 'counter', 'Packets that are no questions.', [[{}, counts.malformed]]),
    family('fairway_dns_limited_total', 'counter', 'Questions over the rate limit of their client.', [[{}, counts.limited]]),
    family('fairway_dns_rendered_hits_total', 'counter', 'Answers that were ready.', [[{}, cache.hits]]),
    family('fairway_dns_rendered_entries', 'gauge', 'Answers that are ready.', [[{}, cache.size]]),
    family('fairway_dns_watch_connected', 'gauge', 'Whether every watch is open.', [[{}, names.isCurrent ? 1 : 0]]),
    family('fairway_dns_stale_seconds', 'gauge', "For how long the cluster's names may have been old.", stale === undefined ? [] : [[{}, stale]]),
  ].join('')
}

function family(name: string, type: 'counter' | 'gauge', help: string, samples: readonly Sample[]): string {
  const line = ([labels, value]: Sample): string => {
    const pairs = Object.entries(labels).map(([key, text]) => `${key}=${JSON.stringify(text)}`)
    return `${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${value}\n`
  }
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${samples.map(line).join('')}`
}
