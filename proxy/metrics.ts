/** What the proxy did, with the names that kube-proxy gives it, and what went through each service; in Prometheus' text format. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { ServiceTraffic } from './traffic.ts'

const linear = (start: number, width: number, count: number): number[] => Array.from({ length: count }, (_, at) => start + width * at)
/** pkg/proxy/metrics: from a millisecond, doubled 14 times. */
const syncBuckets = Array.from({ length: 15 }, (_, at) => 0.001 * 2 ** at)
const programmingBuckets = [...linear(0.25, 0.25, 2), ...linear(1, 1, 59), ...linear(60, 5, 12), ...linear(120, 30, 7)]

export interface Numbers {
  readonly services: number
  readonly pendingServices: number
  readonly traffic: Iterable<ServiceTraffic>
}

export class ProxyMetrics {
  readonly #registry = new Registry()
  readonly #own = { registers: [this.#registry] }
  readonly #sync = new Histogram({ ...this.#own, name: 'kubeproxy_sync_proxy_rules_duration_seconds', help: 'How long it took to bring a change to the kernel.', buckets: syncBuckets })
  readonly #programming = new Histogram({ ...this.#own, name: 'kubeproxy_network_programming_duration_seconds', help: 'From the change of a pod or service to the kernel, by the time that the slice carries.', buckets: programmingBuckets })
  readonly #last = new Gauge({ ...this.#own, name: 'kubeproxy_sync_proxy_rules_last_timestamp_seconds', help: 'When the kernel was last brought up to date.' })
  readonly #queued = new Gauge({ ...this.#own, name: 'kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds', help: 'When a change last asked for it.' })
  readonly #failures = new Counter({ ...this.#own, name: 'kubeproxy_sync_proxy_rules_nftables_sync_failures_total', help: 'How often the kernel refused.' })
  readonly #serviceChanges = new Counter({ ...this.#own, name: 'kubeproxy_sync_proxy_rules_service_changes_total', help: 'Changes of services.' })
  readonly #endpointChanges = new Counter({ ...this.#own, name: 'kubeproxy_sync_proxy_rules_endpoint_changes_total', help: 'Changes of endpoint slices.' })
  readonly #pending = new Gauge({ ...this.#own, name: 'kubeproxy_sync_proxy_rules_service_changes_pending', help: 'Services whose changes wait for the kernel.' })
  readonly #elements = new Counter({ ...this.#own, name: 'fairway_proxy_kernel_changes_total', help: 'Elements and chains that were added or deleted.' })
  readonly #services = new Gauge({ ...this.#own, name: 'fairway_proxy_services', help: 'Services that are known.' })
  readonly #connections = new Counter({ ...this.#own, name: 'fairway_proxy_service_connections_total', help: 'Connections through a service, from conntrack.', labelNames: ['namespace', 'service', 'port'] })
  readonly #bytes = new Counter({ ...this.#own, name: 'fairway_proxy_service_bytes_total', help: 'Bytes through a service with their headers, from conntrack: in are those of clients.', labelNames: ['namespace', 'service', 'port', 'direction'] })

  /** A sync of so many changes of the kernel. `triggers` are the times (milliseconds since the epoch) of what is now in the kernel. */
  synced({ seconds, changes, now, triggers }: { readonly seconds: number; readonly changes: number; readonly now: number; readonly triggers: readonly number[] }): void {
    this.#sync.observe(seconds)
    this.#elements.inc(changes)
    this.#last.set(now / 1000)
    for (const trigger of triggers) this.#programming.observe(Math.max(0, now - trigger) / 1000)
  }

  failed(): void {
    this.#failures.inc()
  }

  changed(what: 'service' | 'endpoint', now: number): void {
    if (what === 'service') this.#serviceChanges.inc()
    else this.#endpointChanges.inc()
    this.#queued.set(now / 1000)
  }

  async text({ services, pendingServices, traffic }: Numbers): Promise<string> {
    this.#services.set(services)
    this.#pending.set(pendingServices)
    this.#connections.reset()
    this.#bytes.reset()
    for (const { service, port, connections, bytesIn, bytesOut } of traffic) {
      const [namespace = '', name = ''] = service.split('/')
      const labels = { namespace, service: name, port }
      this.#connections.inc(labels, connections)
      this.#bytes.inc({ ...labels, direction: 'in' }, bytesIn)
      this.#bytes.inc({ ...labels, direction: 'out' }, bytesOut)
    }
    return this.#registry.metrics()
  }
}
