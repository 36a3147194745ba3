/** What would be answered to a question, to which pod, and by which part of the server: for people who ask why. */
import { pods } from '../api/resources.ts'
import type { Query, Reply } from './answers/handler.ts'
import { ClusterNames } from './names.ts'
import type { NamesOptions } from './names.ts'
import { CLASS, addressBytes, addressText, canonical, rcodeName, recordText, typeName } from './wire/index.ts'

export interface Explanation {
  /** The name of the handler that answers; undefined when none does. */
  readonly answeredBy: string | undefined
  /** Lines in the form of a zone file, with comments. */
  readonly text: string
}

export interface Question {
  readonly name: string
  readonly type: number
  /** Who asks, as NAMESPACE/NAME; left out, nobody in particular. */
  readonly pod?: string | undefined
}

/** How long the watch may take to open: what is only answered while it is open would not be else. */
const currentMs = 2000

/** Reads the cluster's names once and puts one question to the same chain that the server has. */
export async function queryNames(options: NamesOptions, { name, type, pod }: Question): Promise<Explanation> {
  const client = pod === undefined ? new Uint8Array(4) : await addressOfPod(options, pod)
  const names = new ClusterNames(options)
  try {
    await names.start()
    if (pod !== undefined) for (let waited = 0; !names.isCurrent && waited < currentMs; waited += 10) await options.clock.sleep(10)
    const query: Query = {
      question: { name, type, class: CLASS.IN }, name: canonical(name), type,
      recursionDesired: true, checkingDisabled: false, dnssecOk: false, transport: 'udp', client,
    }
    for (const handler of names.handlers) {
      const reply = await handler.handle(query)
      if (reply !== undefined) return { answeredBy: handler.name, text: explain(query, reply, { by: handler.name, pod }) }
    }
    return { answeredBy: undefined, text: `; ${query.name} ${typeName(query.type)}: REFUSED, it is no name of the cluster and no server for others is known\n` }
  } finally {
    await names.stop()
  }
}

async function addressOfPod({ client }: NamesOptions, pod: string): Promise<Uint8Array> {
  const [namespace = '', name = ''] = pod.split('/')
  const { status } = await client.get(pods, { namespace, name })
  const address = addressBytes(status?.podIP ?? '')
  if (address === undefined) throw new Error(`Cannot ask for pod ${pod}: it has no address`)
  return address
}

function explain({ name, type, client }: Query, reply: Reply, { by, pod }: { readonly by: string; readonly pod: string | undefined }): string {
  const section = (title: string, records: Reply['answers']): string[] => (records.length === 0 ? [] : [`; ${title}`, ...records.map(recordText)])
  const reason = reply.extendedError === undefined ? [] : [`; ${reply.extendedError.text}`]
  return [
    `; ${name} ${typeName(type)}: ${rcodeName(reply.rcode)}, ${reply.authoritative ? 'authoritative, ' : ''}by ${by}${pod === undefined ? '' : `, to pod ${pod} at ${addressText(client)}`}`,
    ...reason,
    ...section('answer', reply.answers),
    ...section('authority', reply.authorities),
    ...section('additional', reply.additionals),
    '',
  ].join('\n')
}
