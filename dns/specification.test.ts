/** Every case of the Kubernetes DNS specification 1.1.0 as it is answered, held against a file that people can read (UPDATE_GOLDEN=1 rewrites it). */
import { readFileSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { client, offline } from './test-support/offline.ts'
import { specificationCluster, specificationQuestions } from './test-support/specification.ts'
import { CLASS, decodeMessage, encodeMessage, message, rcodeName, recordText, typeName, typeNumber } from './wire/index.ts'
import type { Message } from './wire/index.ts'

const golden = new URL('test-support/specification.zone', import.meta.url)

function zoneFile({ rcode, authoritative, answers, authorities, additionals, edns }: Message): string {
  const why = edns?.options[0]?.data
  const sections = [['', answers], ['; beside it', additionals], ['; authority', authorities]] as const
  return [
    `; ${rcodeName(rcode)}${authoritative ? ', authoritative' : ''}${why === undefined ? '' : `: ${Buffer.from(why).toString('utf8', 2)}`}`,
    ...sections.flatMap(([title, records]) => (records.length === 0 ? [] : [...(title === '' ? [] : [title]), ...records.map(recordText)])),
  ].join('\n')
}

t.test('every case of the specification is answered as the file of answers has it', async (t) => {
  const { names, responder } = await offline(specificationCluster)
  t.teardown(() => names.stop())
  const edns = { udpPayloadSize: 1232, version: 0, dnssecOk: false, options: [] }
  const ask = async (name: string, type: number): Promise<Message> => {
    const packet = encodeMessage(message({ id: 1, questions: [{ name, type, class: CLASS.IN }], edns }))
    const answer = await responder.respond(packet, 'udp', client)
    // The second is the rendered answer: the same bytes.
    t.same(await responder.respond(packet, 'udp', client), answer, `${name} once more`)
    return decodeMessage(answer ?? new Uint8Array())
  }
  const blocks: string[] = []
  for (const line of specificationQuestions.trim().split('\n')) {
    const [name = '', type = ''] = line.split(' ')
    if (name === '#') {
      blocks.push(`;; ${line.slice(2)}\n`)
      continue
    }
    const full = name.endsWith('.') ? name : `${name}.svc.cluster.local.`
    const number = typeNumber(type) ?? 0
    blocks.push(`; ${full} ${typeName(number)}\n${zoneFile(await ask(full, number))}\n`)
  }
  const text = blocks.join('\n')
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(golden, text)
  t.equal(text, readFileSync(golden, 'utf8'))
})
