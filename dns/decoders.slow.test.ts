/**
 * Answers over many generated clusters, read by decoders that share no code with ours: dns-packet, dns2 and dig. 3,000 by default,
 * `FAIRWAY_ANSWERS=1000000` for the long run (docs/dns.md has its result).
 */
import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import packet from 'dns-packet'
import type { Packet as Decoded } from 'dns-packet'
import { Packet } from 'dns2'
import t from 'tap'
import type { EndpointSlice, Service } from '../api/types.ts'
import { client, offline } from './test-support/offline.ts'
import { seeded } from './test-support/packets.ts'
import { sliceOf, specificationCluster, specificationQuestions } from './test-support/specification.ts'
import { service, start } from './test-support/started.ts'
import { CLASS, TYPE, addressText, decodeMessage, encodeMessage, message, messageBytesMax, recordText, typeName, typeNumber } from './wire/index.ts'
import type { Message, ResourceRecord } from './wire/index.ts'

const count = Number(process.env['FAIRWAY_ANSWERS'] ?? 3000)
const perCluster = 500

/** Records as `name type ttl data`, in small letters: what all decoders can say. */
function ours({ name, type, ttl, data }: ResourceRecord): string {
  const text = data.map((field) => (field instanceof Uint8Array ? (type === TYPE.HINFO ? Buffer.from(field).toString() : addressText(field)) : Array.isArray(field) ? Buffer.concat(field as Buffer[]).toString() : String(field).replace(/\.$/, '')))
  return `${name.slice(0, -1)} ${typeName(type)} ${ttl} ${text.join(' ')}`.toLowerCase()
}

function theirs(answer: NonNullable<Decoded['answers']>[number]): string {
  const { name, type, ttl, data } = answer as { name: string; type: string; ttl: number; data: unknown }
  const fields = ((): unknown[] => {
    if (typeof data === 'string') return [data]
    if (Array.isArray(data)) return [Buffer.concat(data as Buffer[]).toString()]
    const of = data as Record<string, unknown>
    const orders: Record<string, string[]> = { SRV: ['priority', 'weight', 'port', 'target'], SOA: ['mname', 'rname', 'serial', 'refresh', 'retry', 'expire', 'minimum'], HINFO: ['cpu', 'os'] }
    return (orders[type] ?? []).map((key) => of[key])
  })()
  return `${name} ${type} ${ttl} ${fields.join(' ')}`.toLowerCase()
}

/** What dns2 makes of the types that it knows. */
function dns2s(record: Record<string, unknown>): string {
  const { name, type, ttl } = record as { name: string; type: number; ttl: number }
  const keys: Record<number, string[]> = { [TYPE.A]: ['address'], [TYPE.AAAA]: ['address'], [TYPE.CNAME]: ['domain'], [TYPE.PTR]: ['domain'], [TYPE.NS]: ['ns'], [TYPE.SRV]: ['priority', 'weight', 'port', 'target'], [TYPE.SOA]: ['primary', 'admin', 'serial', 'refresh', 'retry', 'expiration', 'minimum'] }
  const address = (text: string): string => decodeURI(new URL(`http://[${text}]`).hostname).slice(1, -1)
  const fields = (keys[type] ?? []).map((key) => (type === TYPE.AAAA ? address(String(record[key])) : record[key]))
  return `${name} ${typeName(type)} ${ttl} ${fields.join(' ')}`.toLowerCase()
}
const dns2Knows = (type: number): boolean => [TYPE.A, TYPE.AAAA, TYPE.CNAME, TYPE.PTR, TYPE.NS, TYPE.SRV, TYPE.SOA].includes(type as never)

interface Generated {
  readonly services: Service[]
  readonly slices: EndpointSlice[]
  readonly questions: { readonly name: string; readonly type: number }[]
}

/** A cluster of services of all kinds with up to 300 endpoints, and questions for its names and for names beside them. */
function generated(random: () => number): Generated {
  const below = (max: number): number => Math.floor(random() * max)
  const label = (): string => `${'abcdefghijklmnopqrstuvwxyz'[below(26)]}${Math.floor(random() * 36 ** below(9)).toString(36)}${'x'.repeat(random() < 0.05 ? 50 : 0)}`.slice(0, 63)
  const v4 = (): string => [10, below(256), below(256), below(256)].join('.')
  const v6 = (): string => `fd00:${below(65_536).toString(16)}::${(1 + below(65_535)).toString(16)}`
  const services: Service[] = []
  const slices: EndpointSlice[] = []
  const names: string[] = []
  for (let n = 0; n < 30; n += 1) {
    const name = `${label()}-${n}`
    const ports = Array.from({ length: below(4) }, (_, index) => ({ name: `${label().slice(0, 12)}${index}`, port: 1 + below(65_535), protocol: (['TCP', 'UDP', 'SCTP'] as const)[below(3)] ?? 'TCP' }))
    const kind = below(4)
    const clusterIPs = kind === 0 ? [v4()] : kind === 1 ? [v4(), v6()] : ['None']
    const spec: Service['spec'] = kind === 3 ? { type: 'ExternalName', externalName: `${label()}.${label()}.example` } : { clusterIP: clusterIPs[0] ?? 'None', clusterIPs, ports }
    services.push({ metadata: { name, namespace: 'default' }, spec })
    const endpoints = Array.from({ length: random() < 0.1 ? 300 : below(6) }, () => ({ addresses: [v4()], ready: random() < 0.9, ...(random() < 0.5 ? { hostname: label() } : {}) }))
    if (kind !== 3) slices.push(sliceOf(name, { endpoints, ports }))
    names.push(`${name}.default.svc.cluster.local.`, `${label()}.default.svc.cluster.local.`, ...ports.map((port) => `_${port.name}._${port.protocol.toLowerCase()}.${name}.default.svc.cluster.local.`))
    for (const { hostname } of endpoints.slice(0, 3)) if (hostname !== undefined) names.push(`${hostname}.${name}.default.svc.cluster.local.`)
    for (const { addresses: [address = ''] } of endpoints.slice(0, 3)) names.push(`${address.split('.').toReversed().join('.')}.in-addr.arpa.`)
  }
  names.push('cluster.local.', 'ns.dns.cluster.local.', 'dns-version.cluster.local.')
  const types = [TYPE.A, TYPE.AAAA, TYPE.SRV, TYPE.PTR, TYPE.CNAME, TYPE.SOA, TYPE.NS, TYPE.TXT, TYPE.ANY]
  const questions = Array.from({ length: perCluster }, () => ({ name: names[below(names.length)] ?? '', type: types[below(types.length)] ?? TYPE.A }))
  return { services, slices, questions }
}

const all = ({ answers, authorities, additionals }: Message): readonly ResourceRecord[] => [...answers, ...authorities, ...additionals]

t.test('dns-packet and dns2 read in every answer what we read in it', { timeout: count > 3000 ? 0 : 30_000 }, async (t) => {
  const random = seeded(5)
  const wrong: string[] = []
  let compared = 0
  let records = 0
  while (compared < count) {
    const { services, slices, questions } = generated(random)
    const { names, responder } = await offline({ namespaces: [{ metadata: { name: 'default' } }], services, endpointslices: slices })
    for (const [index, { name, type }] of questions.entries()) {
      const asked = encodeMessage(message({ id: index, questions: [{ name, type, class: CLASS.IN }] }))
      const answer = await responder.respond(asked, index % 3 === 0 ? 'udp' : 'tcp', client)
      if (answer === undefined) throw new Error(`no answer to ${name}`)
      const read = decodeMessage(answer)
      const mine = all(read).map(ours)
      const { answers = [], authorities = [], additionals = [] } = packet.decode(answer)
      const other = [...answers, ...authorities, ...additionals].map(theirs)
      if (other.join('\n') !== mine.join('\n')) wrong.push(`dns-packet ${name} ${typeName(type)}: ${answer.toString('hex')}`)
      const third = Packet.parse(answer)
      const known = [...third.answers, ...third.authorities, ...third.additionals].map((record) => record as unknown as Record<string, unknown>).filter((record) => dns2Knows(Number(record['type'])))
      if (known.map(dns2s).join('\n') !== all(read).filter((record) => dns2Knows(record.type)).map(ours).join('\n')) wrong.push(`dns2 ${name} ${typeName(type)}: ${answer.toString('hex')}`)
      compared += 1
      records += mine.length
    }
    await names.stop()
  }
  t.same(wrong.slice(0, 3), [])
  t.ok(records > compared / 2, `${compared} answers with ${records} records`)
})

t.test('dig prints for every case of the specification the records that we meant', { skip: existsSync('/usr/bin/dig') ? false : "dig is missing: install Debian's package dnsutils" }, async (t) => {
  const { port, server, ask } = await start(t, specificationCluster, { pods: 'verified' })
  await server.ready
  await ask('cluster.local', 'SOA')
  const { names, responder } = await offline(specificationCluster, { serverAddresses: ['127.0.0.1'] })
  t.teardown(() => names.stop())
  const questions = specificationQuestions.trim().split('\n').filter((line) => !line.startsWith('#') && !line.endsWith(' ANY')).map((line) => {
    const [name = '', type = ''] = line.split(' ')
    return { name: name.endsWith('.') ? name : `${name}.svc.cluster.local.`, type }
  })
  const folder = mkdtempSync(join(tmpdir(), 'fairway-dig-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'questions'), questions.map(({ name, type }) => `${name} ${type}\n`).join(''))
  const { stdout } = await promisify(execFile)('dig', ['@127.0.0.1', '-p', String(port), '+noall', '+answer', '+authority', '+additional', '+tcp', '+tries=1', '-f', join(folder, 'questions')])
  const plain = (text: string): string => text.replace(/\s+/g, ' ').replace(/ (\d{9,}) 7200 /, ' SERIAL 7200 ').trim()
  const expected: string[] = []
  for (const { name, type } of questions) {
    const answer = await responder.respond(encodeMessage(message({ questions: [{ name, type: typeNumber(type) ?? 0, class: CLASS.IN }] })), 'tcp', client)
    expected.push(...all(decodeMessage(answer ?? new Uint8Array())).map((record) => plain(recordText(record))))
  }
  t.same(stdout.split('\n').map(plain).filter((line) => line !== '' && !line.startsWith(';')), expected)
})

t.test('a full message still has a way: 64 KiB by TCP, and TC when even that is not enough', async (t) => {
  const endpoints = Array.from({ length: 1500 }, (_, n) => ({ addresses: [`10.244.${n >> 8}.${n & 255}`], hostname: `a-rather-long-host-name-of-an-endpoint-${n}` }))
  const { names, responder } = await offline({
    namespaces: [{ metadata: { name: 'default' } }], endpointslices: [sliceOf('big', { endpoints, ports: [{ name: 'sql', port: 1 }] })],
    services: [service('big', { clusterIP: 'None', ports: [{ name: 'sql', port: 1, protocol: 'TCP' }] })],
  })
  t.teardown(() => names.stop())
  const ask = async (name: string, type: number): Promise<Message> => {
    const answer = await responder.respond(encodeMessage(message({ questions: [{ name, type, class: CLASS.IN }] })), 'tcp', client)
    t.ok((answer?.length ?? 0) <= messageBytesMax)
    return decodeMessage(answer ?? new Uint8Array())
  }
  t.match(await ask('big.default.svc.cluster.local.', TYPE.A), { truncated: false, answers: { length: 1500 } })
  t.match(await ask('_sql._tcp.big.default.svc.cluster.local.', TYPE.SRV), { truncated: true })
})
