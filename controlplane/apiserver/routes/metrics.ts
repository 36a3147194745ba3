// /metrics: what the server did, in Prometheus' text format, with the names that kube-apiserver gives them.
// Counting is a map and costs next to nothing; the library that writes the format is loaded when somebody asks.
import { textReply } from '../http.ts'
import type { Reply } from '../http.ts'
import { hasSubresource, verbsOf } from '../registry.ts'
import type { Subresource, Verb } from '../descriptor.ts'
import type { Call, Serving } from './call.ts'

const verbs = new Set(['create', 'delete', 'get', 'patch', 'update'])

export class Metrics {
  /** `verb|group|version|resource|subresource|code` */
  readonly #requests = new Map<string, number>()
  #reply: Promise<() => Promise<Reply>> | undefined

  /** Counts a request, unless it asks for what there is not: strangers' words would become labels without end. */
  count({ info, descriptor }: Call, code: number): void {
    const { verb, group, version, resource, subresource } = info
    if (subresource === '' ? !verbsOf(descriptor).includes(verb as Verb) : !hasSubresource(descriptor, subresource as Subresource) || !verbs.has(verb)) return
    const key = [verb.toUpperCase(), group, version, resource, subresource, code].join('|')
    this.#requests.set(key, (this.#requests.get(key) ?? 0) + 1)
  }

  async answer(serving: Serving): Promise<Reply> {
    this.#reply ??= this.#prepare(serving)
    return (await this.#reply)()
  }

  async #prepare({ cache, registry, watches }: Serving): Promise<() => Promise<Reply>> {
    const { collectDefaultMetrics, Counter, Gauge, Registry } = await import('prom-client')
    const register = new Registry()
    collectDefaultMetrics({ register })
    const requests = new Counter({ name: 'apiserver_request_total', help: 'Requests by verb, resource and answer.', labelNames: ['verb', 'group', 'version', 'resource', 'subresource', 'code'], registers: [register] })
    const watching = new Gauge({ name: 'apiserver_longrunning_requests', help: 'Watches that are open.', labelNames: ['verb'], registers: [register] })
    const objects = new Gauge({ name: 'apiserver_resource_objects', help: 'Objects stored, by resource.', labelNames: ['group', 'resource'], registers: [register] })
    const revision = new Gauge({ name: 'apiserver_storage_revision', help: 'The newest revision that the cache has seen.', registers: [register] })
    return async () => {
      requests.reset()
      for (const [key, count] of this.#requests) {
        const [verb = '', group = '', version = '', resource = '', subresource = '', code = ''] = key.split('|')
        requests.inc({ verb, group, version, resource, subresource, code }, count)
      }
      watching.set({ verb: 'WATCH' }, watches.size)
      for (const descriptor of registry.all) if (descriptor.virtual !== true) objects.set({ group: descriptor.group, resource: descriptor.plural }, cache.of(descriptor).size)
      revision.set(cache.revision)
      const reply = textReply(200, await register.metrics())
      return { ...reply, headers: { ...reply.headers, 'content-type': register.contentType } }
    }
  }
}
