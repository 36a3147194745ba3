/**
 * Search on the server's side, as CoreDNS's autopath: with `ndots:5` a pod's resolver asks for `example.com` in each of its search domains first. Who asks
 * in the first of them for a name that is not there gets what the whole search would have found, behind an alias, and asks no more.
 */
import { RCODE, TYPE, canonical, cnameRecord } from '../wire/index.ts'
import { ask } from './handler.ts'
import type { Handler, Query, Reply } from './handler.ts'

export interface AutopathOptions {
  /** Canonical: `cluster.local.` */
  readonly zone: string
  /** The namespace of the pod that asks; undefined when that is not known for certain. */
  readonly namespaceOf: (client: Uint8Array) => string | undefined
  /** Search domains of the hosts, which resolvers of pods try last. */
  readonly hostDomains: readonly string[]
  /** Answers for the cluster's names. */
  readonly cluster: Handler
  /** Who is asked for the names that the search comes to, in this order. */
  readonly chain: readonly Handler[]
  readonly ttlSeconds: number
}

export interface Autopath extends Handler {
  /** Searches that found something. */
  found: number
}

export function autopath(options: AutopathOptions): Autopath {
  const handler: Autopath = {
    name: 'autopath',
    found: 0,
    handle(query) {
      const base = searched(query, options)
      if (base === undefined) return undefined
      const first = options.cluster.handle(query)
      if (first === undefined || first instanceof Promise || first.rcode !== RCODE.NXDOMAIN || first.answers.length > 0) return first
      const { zone, hostDomains } = options
      const candidates = [`svc.${zone}`, zone, ...hostDomains.map(canonical), ''].map((domain) => `${base}.${domain}`)
      const search = (): Reply | Promise<Reply> | undefined => {
        for (let name = candidates.shift(); name !== undefined; name = candidates.shift()) {
          const answer = ask(options.chain, { ...query, name, question: { ...query.question, name } })
          if (answer instanceof Promise) return later(answer, name)
          const found = aliased(answer, name)
          if (found !== undefined) return found
        }
        return undefined
      }
      const later = async (answering: Promise<Reply>, name: string): Promise<Reply> => aliased(await answering, name) ?? (await search()) ?? unkept(first)
      const aliased = (answer: Reply, name: string): Reply | undefined => {
        // A name that exists is where a resolver ends its search, though it may lack this type.
        if (answer.rcode !== RCODE.NOERROR) return undefined
        handler.found += 1
        return { ...answer, answers: [cnameRecord(query.name, options.ttlSeconds, name), ...answer.answers], validity: undefined }
      }
      return search() ?? unkept(first)
    },
  }
  return handler
}

/** Answers of the cluster for names that some pod may be searching from: kept rendered they would be given to that pod too. */
export function unsearched(cluster: Handler, zone: string): Handler {
  return {
    name: cluster.name,
    handle(query) {
      const answer = cluster.handle(query)
      if (answer === undefined || answer instanceof Promise || answer.rcode !== RCODE.NXDOMAIN || !query.name.endsWith(`.svc.${zone}`)) return answer
      return unkept(answer)
    },
  }
}

function unkept(answer: Reply): Reply {
  return { ...answer, validity: undefined }
}

/** What is searched for, when this is a question in the asker's first search domain. */
function searched({ name, type, recursionDesired, client }: Query, { zone, namespaceOf }: AutopathOptions): string | undefined {
  if (!recursionDesired || (type !== TYPE.A && type !== TYPE.AAAA) || !name.endsWith(`.svc.${zone}`)) return undefined
  const namespace = namespaceOf(client)
  const domain = `.${namespace ?? ''}.svc.${zone}`
  return namespace !== undefined && name.endsWith(domain) ? name.slice(0, -domain.length) : undefined
}

/** The last `search` or `domain` line of a resolv.conf(5). */
export function searchDomains(text: string): string[] {
  const line = text.split('\n').findLast((one) => /^\s*(search|domain)\s/.test(one)) ?? ''
  return line.trim().split(/\s+/).slice(1).filter((domain) => domain !== '.')
}
