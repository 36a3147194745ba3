/** Answers for the names of the cluster, from the index. */
import { EDE, RCODE, TYPE, canonical, hinfoRecord, isWithin } from '../wire/index.ts'
import type { ResourceRecord } from '../wire/index.ts'
import type { ClusterIndex } from '../zone/cluster-index.ts'
import type { Node } from '../zone/node.ts'
import { aliasOf } from '../zone/service-names.ts'
import type { Basis } from '../zone/validity.ts'
import { failure, reply } from './handler.ts'
import type { Handler, Query, Reply } from './handler.ts'

/** Asks the outside for a name that a service stands for; undefined: there is no outside. */
export type Outside = (query: Query) => Reply | Promise<Reply> | undefined

/** More services than this that stand for one another are taken for a loop. */
const aliasesMax = 8

/** RFC 8482 section 4.2: what an ANY question gets. */
export const anyAnswer = 'RFC8482'

/** Says SERVFAIL for the cluster's names while they are not known yet: an NXDOMAIN would be believed. */
export function readiness(zone: string, isReady: () => boolean): Handler {
  return {
    name: 'readiness',
    handle: ({ name }) => (isReady() || !isWithin(name, zone) ? undefined : failure(RCODE.SERVFAIL, EDE.notReady, 'the names of the cluster are not known yet')),
  }
}

export function clusterZone(index: ClusterIndex, outside: Outside): Handler {
  return {
    name: 'cluster zone',
    handle: (query) => (isWithin(query.name, index.zone) ? answer(index, outside, query) : undefined),
  }
}

function answer(index: ClusterIndex, outside: Outside, query: Query): Reply | Promise<Reply> {
  const { type } = query
  const followed: ResourceRecord[] = []
  const rests: Basis[] = []
  let kept = true
  let { name } = query
  for (;;) {
    const { node, validity, why } = index.lookup(name)
    if (validity === undefined) kept = false
    else rests.push(validity)
    const made: Made = { followed, validity: kept ? rests : undefined, why }
    const alias = node === undefined ? undefined : aliasOf(node)
    if (node === undefined || alias === undefined || type === TYPE.CNAME || type === TYPE.ANY) return fromNode(index, node, { name, type }, made)
    followed.push(alias)
    name = canonical(String(alias.data[0]))
    if (followed.length > aliasesMax || followed.some((record) => record.name === name)) return failure(RCODE.SERVFAIL, EDE.other, `the external names from ${query.name} lead in a circle`)
    if (isWithin(name, index.zone)) continue
    const answered = query.recursionDesired ? outside({ ...query, name, question: { ...query.question, name } }) : undefined
    return beyond(followed, answered, query.recursionDesired ? made.validity : undefined)
  }
}

interface Made {
  readonly followed: readonly ResourceRecord[]
  readonly validity: readonly Basis[] | undefined
  readonly why: string | undefined
}

function fromNode(index: ClusterIndex, node: Node | undefined, { name, type }: { name: string; type: number }, { followed, validity, why }: Made): Reply {
  if (node === undefined) return reply({ rcode: RCODE.NXDOMAIN, authoritative: true, answers: followed, authorities: [index.soa(true)], validity, ...(why === undefined ? {} : { extendedError: { code: EDE.other, text: why } }) })
  if (type === TYPE.ANY && node.records.size > 0) return reply({ authoritative: true, answers: [...followed, hinfoRecord(name, index.soa(true).ttl, anyAnswer)], validity })
  const records = node.records.get(type) ?? []
  if (records.length === 0) return reply({ authoritative: true, answers: followed, authorities: [index.soa(true)], validity })
  const additionals = type === TYPE.SRV || type === TYPE.NS ? (node.glue ?? []) : []
  return reply({ authoritative: true, answers: [...followed, ...records], additionals, validity })
}

/** An alias that leads out of the cluster: what the outside says of it follows, or else (nobody there, or the asker wants no recursion) the alias stands alone. */
function beyond(followed: readonly ResourceRecord[], answered: Reply | Promise<Reply> | undefined, validity: readonly Basis[] | undefined): Reply | Promise<Reply> {
  if (answered === undefined) return reply({ authoritative: true, answers: followed, validity })
  const joined = ({ rcode, answers, authorities, extendedError }: Reply): Reply => {
    const error = extendedError === undefined ? {} : { extendedError }
    if (rcode !== RCODE.NOERROR && rcode !== RCODE.NXDOMAIN) return reply({ rcode: RCODE.SERVFAIL, ...error })
    return reply({ rcode, authoritative: true, answers: [...followed, ...answers], authorities })
  }
  return answered instanceof Promise ? answered.then(joined) : joined(answered)
}
