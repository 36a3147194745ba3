/** What would be answered to a question, and by which part of the server: for people who ask why. */
import type { Query, Reply } from './answers/handler.ts'
import { ClusterNames } from './names.ts'
import type { NamesOptions } from './names.ts'
import { CLASS, canonical, rcodeName, recordText, typeName } from './wire/index.ts'

export interface Explanation {
  /** The name of the handler that answers; undefined when none does. */
  readonly answeredBy: string | undefined
  /** Lines in the form of a zone file, with comments. */
  readonly text: string
}

/** Reads the cluster's names once and puts one question to the same chain that the server has. */
export async function queryNames(options: NamesOptions, question: { readonly name: string; readonly type: number }): Promise<Explanation> {
  const names = new ClusterNames(options)
  try {
    await names.start()
    const query: Query = {
      question: { ...question, class: CLASS.IN }, name: canonical(question.name), type: question.type,
      recursionDesired: true, checkingDisabled: false, dnssecOk: false, transport: 'udp', client: new Uint8Array(4),
    }
    for (const handler of names.handlers) {
      const reply = await handler.handle(query)
      if (reply !== undefined) return { answeredBy: handler.name, text: explain(query, reply, handler.name) }
    }
    return { answeredBy: undefined, text: `; ${query.name} ${typeName(query.type)}: REFUSED, it is no name of the cluster and no server for others is known\n` }
  } finally {
    await names.stop()
  }
}

function explain({ name, type }: Query, reply: Reply, by: string): string {
  const section = (title: string, records: Reply['answers']): string[] => (records.length === 0 ? [] : [`; ${title}`, ...records.map(recordText)])
  const reason = reply.extendedError === undefined ? [] : [`; ${reply.extendedError.text}`]
  return [
    `; ${name} ${typeName(type)}: ${rcodeName(reply.rcode)}, ${reply.authoritative ? 'authoritative, ' : ''}by ${by}`,
    ...reason,
    ...section('answer', reply.answers),
    ...section('authority', reply.authorities),
    ...section('additional', reply.additionals),
    '',
  ].join('\n')
}
