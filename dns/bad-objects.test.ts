/** Objects that an API server should not have let in, or that clash: each costs at most its own names, and never an answer for others. */
import packet from 'dns-packet'
import t from 'tap'
import type { EndpointSlice, KubeObject, Service } from '../api/types.ts'
import { client, offline } from './test-support/offline.ts'
import { sliceOf } from './test-support/specification.ts'
import { TYPE, addressText, decodeMessage, encodeMessage, message, typeNumber } from './wire/index.ts'
import type { Message } from './wire/index.ts'

const service = (name: string, spec: unknown, namespace = 'default'): KubeObject => Object.assign({ metadata: { name, namespace } }, { spec })
const plain = { clusterIP: '10.96.0.7', clusterIPs: ['10.96.0.7'], ports: [{ name: 'http', port: 80, protocol: 'TCP' }] }
const good = [service('good', plain), service('db', { clusterIP: 'None', ports: [] })] as Service[]
const goodSlice = sliceOf('db', { endpoints: [{ addresses: ['10.244.0.5'], hostname: 'db-0' }], ports: [{ name: 'sql', port: 5432 }] })

interface Answering {
  ask(name: string, type?: string): Promise<Message>
  addresses(name: string, type?: string): Promise<string[]>
  readonly failed: number
}

async function answering(services: readonly KubeObject[], endpointslices: readonly KubeObject[] = []): Promise<Answering> {
  const { responder, names } = await offline({ namespaces: [{ metadata: { name: 'default' } }], services: [...good, ...services], endpointslices: [goodSlice, ...endpointslices] })
  t.teardown(() => names.stop())
  const ask = async (name: string, type = 'A'): Promise<Message> => {
    const query = encodeMessage(message({ id: 1, questions: [{ name, type: typeNumber(type) ?? TYPE.A, class: 1 }] }))
    const bytes = await responder.respond(query, 'tcp', client) ?? Buffer.alloc(0)
    packet.decode(bytes)
    return decodeMessage(bytes)
  }
  const addresses = async (name: string, type = 'A'): Promise<string[]> => (await ask(name, type)).answers.flatMap(({ data: [first] }) => (first instanceof Uint8Array ? [addressText(first)] : [])).sort()
  return { ask, addresses, get failed() { return responder.counts.failed } }
}

/** Whatever else is there, these are answered. */
async function stillAnswers({ ask, addresses }: Answering): Promise<void> {
  t.same(await addresses('good.default.svc.cluster.local.'), ['10.96.0.7'])
  t.same(await addresses('db-0.db.default.svc.cluster.local.'), ['10.244.0.5'])
  t.equal((await ask('missing.default.svc.cluster.local.')).rcode, 3)
}

t.test('services with absurd names and fields', async (t) => {
  const names = ['', '.', '..', 'a.b', '-', '_', 'A B', 'ÄÖ', '\u{1f40b}', '\0', 'x'.repeat(63), 'x'.repeat(64), 'x'.repeat(500), '\\.', '*', 'cluster.local', 'UPPER', '10-0-0-1', '__proto__', 'constructor']
  const specs = [{}, { clusterIP: 'nonsense' }, { clusterIP: '', clusterIPs: [] }, { ...plain, clusterIPs: ['10.96.0.300', '::1::', 'fe80::1%eth0', '10.96.0.9'] }, { ...plain, ports: [{ port: -1 }, { port: 99_999, name: 'x'.repeat(80), protocol: 'TCP' }, { name: '', port: 1 }, { name: 'a.b', port: 2, protocol: 'QUIC' }] }]
  const services = names.flatMap((name, n) => specs.map((spec, m) => service(m === 0 ? name : `${name}${m}`, spec, n % 3 === 0 ? 'default' : names[m])))
  const server = await answering([...services, service('UPPER', plain)], names.map((name) => Object.assign(sliceOf(name, { endpoints: [{ addresses: ['10.244.9.9', 'nonsense', ''], hostname: name }], ports: [{ name, port: 80 }] }))))
  await stillAnswers(server)
  for (const name of ['xn--4ca.default.svc.cluster.local.', `${'x'.repeat(63)}.default.svc.cluster.local.`, '\\..default.svc.cluster.local.', '*.default.svc.cluster.local.', 'a.b.default.svc.cluster.local.', '__proto__.default.svc.cluster.local.', 'constructor.default.svc.cluster.local.', 'toString.default.svc.cluster.local.']) {
    for (const type of ['A', 'AAAA', 'SRV', 'TXT', 'ANY']) await server.ask(name, type)
  }
  t.same(await server.addresses('upper.default.svc.cluster.local.'), [], 'no service has a name with capitals')
  t.equal((await server.ask('9.9.244.10.in-addr.arpa.', 'PTR')).rcode, 0)
  t.equal(server.failed, 0)
})

t.test('names that get too long are left out, the others of the service stay', async (t) => {
  const [namespace, long] = ['n'.repeat(63), 's'.repeat(63)]
  const services = [service(long, { clusterIP: 'None', ports: [{ name: 'http', port: 80, protocol: 'TCP' }] }, namespace)]
  const slice = { ...sliceOf(long, { endpoints: [{ addresses: ['10.244.0.6'], hostname: 'h'.repeat(63) }, { addresses: ['10.244.0.7'], hostname: `${'h'.repeat(60)}-1` }, { addresses: ['10.244.0.8'] }], ports: [{ name: 'p'.repeat(61), port: 80 }] }) }
  const server = await answering(services, [{ ...slice, metadata: { ...slice.metadata, namespace } }])
  const apex = `${long}.${namespace}.svc.cluster.local.`
  t.same(await server.addresses(apex), ['10.244.0.6', '10.244.0.7', '10.244.0.8'])
  t.same(await server.addresses(`10-244-0-8.${apex}`), ['10.244.0.8'])
  t.same(await server.addresses(`${'h'.repeat(63)}.${apex}`), ['10.244.0.6'], '216 bytes are none too many')
  t.equal((await server.ask(`_${'p'.repeat(61)}._tcp.${apex}`, 'SRV')).answers.length, 3)
  const longer = await answering([service(long, { clusterIP: 'None' }, `${namespace}.${'m'.repeat(63)}.${'m'.repeat(40)}`)])
  await stillAnswers(longer)
  t.equal(server.failed + longer.failed, 0)
})

t.test('hostnames that collide', async (t) => {
  const server = await answering([service('c', { clusterIP: 'None', ports: [] })], [
    // The same for two endpoints, in other letters, one that is the address of another, one that looks like a port's name, and ones that are no names.
    sliceOf('c', { suffix: '1', endpoints: [{ addresses: ['10.244.1.1'], hostname: 'same' }, { addresses: ['10.244.1.2'], hostname: 'SAME' }, { addresses: ['10.244.1.3'], hostname: '10-244-1-4' }, { addresses: ['10.244.1.4'] }], ports: [{ name: 'http', port: 80 }] }),
    sliceOf('c', { suffix: '2', endpoints: [{ addresses: ['10.244.1.1'], hostname: 'same' }, { addresses: ['10.244.1.5'], hostname: '_tcp' }, { addresses: ['10.244.1.6'], hostname: 'has.dot' }, { addresses: ['10.244.1.7'], hostname: 'h'.repeat(70) }], ports: [{ name: 'http', port: 80 }] }),
  ])
  t.same(await server.addresses('same.c.default.svc.cluster.local.'), ['10.244.1.1', '10.244.1.2'])
  t.same(await server.addresses('10-244-1-4.c.default.svc.cluster.local.'), ['10.244.1.3', '10.244.1.4'])
  for (const n of [5, 6, 7]) t.same(await server.addresses(`10-244-1-${n}.c.default.svc.cluster.local.`), [`10.244.1.${n}`])
  t.same(await server.addresses('_tcp.c.default.svc.cluster.local.'), [], 'stays a name of ports')
  t.same(await server.addresses('c.default.svc.cluster.local.'), [1, 2, 3, 4, 5, 6, 7].map((n) => `10.244.1.${n}`), 'each once')
  t.equal((await server.ask('_http._tcp.c.default.svc.cluster.local.', 'SRV')).answers.length, 5, 'a target for each name')
  await stillAnswers(server)
  t.equal(server.failed, 0)
})

t.test('external names that are none, and slices that are nobody\'s', async (t) => {
  const externals = ['', '.', ' ', 'a b', '10.0.0.1', 'x'.repeat(64), Array.from({ length: 80 }, () => 'abc').join('.'), 'ends.with.dot.', 'UPPER.example', '*.example', '\\', 'ä.example']
  const slices = [
    sliceOf('nobody', { endpoints: [{ addresses: ['10.244.2.1'] }] }), { metadata: { name: 'unlabelled', namespace: 'default' }, addressType: 'IPv4', endpoints: [] },
    { ...sliceOf('good', { endpoints: [{ addresses: ['host.example'] }] }), addressType: 'FQDN' }, { ...sliceOf('good', { suffix: 'b', endpoints: [] }), endpoints: undefined as never },
    { ...sliceOf('good', { suffix: 'c', endpoints: [] }), ports: undefined as never, endpoints: [{ addresses: [] }] },
  ] as EndpointSlice[]
  const server = await answering(externals.map((externalName, n) => service(`external-${n}`, { type: 'ExternalName', externalName })), slices)
  for (const [n, externalName] of externals.entries()) {
    const { rcode, answers } = await server.ask(`external-${n}.default.svc.cluster.local.`)
    t.equal(rcode, 0, JSON.stringify(externalName))
    t.ok(answers.every(({ type }) => type === TYPE.CNAME), JSON.stringify(externalName))
  }
  t.equal((await server.ask('nobody.default.svc.cluster.local.')).rcode, 3)
  await stillAnswers(server)
  t.equal(server.failed, 0)
})
