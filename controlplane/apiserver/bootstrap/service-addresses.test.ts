// Cluster IPs as objects: IPAddresses follow Services, and ServiceCIDRs add to what can be given out.
import t from 'tap'
import { systemClock } from '../../../api/clock.ts'
import { ask, startTestServer } from '../test-support/server.ts'
import type { ApiServer } from '../index.ts'
import type { Service } from '../../../api/types.ts'
import { planAddress } from './service-addresses.ts'

const services = '/api/v1/namespaces/default/services'
const networking = '/apis/networking.k8s.io/v1'
type Json = Record<string, unknown>

async function until(what: () => Promise<boolean>): Promise<void> {
  while (!(await what())) await systemClock.sleep(5)
}

const exists = async (server: ApiServer, path: string): Promise<boolean> => (await ask(server, 'GET', path)).status === 200
const service = (name: string, spec: Json = {}): Json => ({ metadata: { name }, spec: { ports: [{ port: 80 }], ...spec } })
const clusterIP = (body: Json): string => (body['spec'] as { clusterIP: string }).clusterIP

t.test('an IPAddress comes and goes with the Service that has it', async (t) => {
  const { server } = await startTestServer(t)
  const address = clusterIP((await ask(server, 'POST', services, service('web'))).body)
  await until(() => exists(server, `${networking}/ipaddresses/${address}`))
  t.match((await ask(server, 'GET', `${networking}/ipaddresses/${address}`)).body, { metadata: { labels: { 'ipaddress.kubernetes.io/ip-family': 'IPv4' } }, spec: { parentRef: { resource: 'services', namespace: 'default', name: 'web' } } })
  t.match((await ask(server, 'GET', `${networking}/ipaddresses?fieldSelector=spec.parentRef.name%3Dweb`)).body, { items: [{ metadata: { name: address } }] })
  await ask(server, 'DELETE', `${services}/web`)
  await until(async () => !(await exists(server, `${networking}/ipaddresses/${address}`)))
})

t.test('an address that somebody has set aside is not given out', async (t) => {
  const { server } = await startTestServer(t)
  t.match(await ask(server, 'POST', `${networking}/ipaddresses`, { metadata: { name: '10.96.7.7' }, spec: { parentRef: { group: 'gateway.networking.k8s.io', resource: 'gateways', namespace: 'default', name: 'mine' } } }), { status: 201 })
  t.match(await ask(server, 'POST', services, service('web', { clusterIP: '10.96.7.7' })), { status: 422, body: { details: { causes: [{ field: 'spec.clusterIPs', message: /provided IP is already allocated/ }] } } })
})

t.test('the default range is ready, a further one is used when that is full, and it goes only when nobody has an address of it', async (t) => {
  const { server } = await startTestServer(t, { serviceClusterIPRange: '10.96.0.0/29', clusterDnsAddress: '10.96.0.6' })
  const ranges = `${networking}/servicecidrs`
  const ready = async (name: string): Promise<unknown> => (((await ask(server, 'GET', `${ranges}/${name}`)).body['status'] as Json | undefined)?.['conditions'] as Json[] | undefined)?.[0]?.['status']
  await until(async () => (await ready('kubernetes')) === 'True')
  t.match((await ask(server, 'GET', `${ranges}/kubernetes`)).body, { spec: { cidrs: ['10.96.0.0/29'] }, metadata: { finalizers: ['networking.k8s.io/service-cidr-finalizer'] } })
  for (let i = 0; i < 4; i++) await ask(server, 'POST', services, service(`s${i}`))
  t.match(await ask(server, 'POST', services, service('late')), { status: 500, body: { message: /range is full/ } })
  t.match(await ask(server, 'POST', ranges, { metadata: { name: 'more' }, spec: { cidrs: ['10.250.0.0/24'] } }), { status: 201 })
  await until(async () => (await ready('more')) === 'True')
  const late = clusterIP((await ask(server, 'POST', services, service('late'))).body)
  t.match(late, /^10\.250\.0\./)
  await until(() => exists(server, `${networking}/ipaddresses/${late}`))
  await ask(server, 'DELETE', `${ranges}/more`)
  await until(async () => (await ready('more')) === 'False')
  t.match(await ask(server, 'POST', services, service('none')), { status: 500 }, 'of a range that goes nothing is given out')
  await ask(server, 'DELETE', `${services}/late`)
  await until(async () => !(await exists(server, `${ranges}/more`)))
})

t.test('the plan: an object for who has an address, none for nobody, and nobody else\'s is touched', (t) => {
  const of = (name: string): Service => ({ metadata: { name, namespace: 'default' }, spec: { ports: [] } })
  const made = planAddress('fd00::1', of('a'), undefined)
  t.match(made, { kind: 'create', object: { metadata: { name: 'fd00::1', labels: { 'ipaddress.kubernetes.io/ip-family': 'IPv6' } } } })
  const object = made?.kind === 'create' ? made.object : undefined
  t.same(planAddress('fd00::1', of('a'), object), undefined)
  t.same(planAddress('fd00::1', of('b'), object), { kind: 'delete' }, 'it is made anew for who has it now')
  t.same(planAddress('fd00::1', undefined, object), { kind: 'delete' })
  t.same(planAddress('fd00::1', of('b'), { ...object, metadata: { name: 'fd00::1' } }), undefined)
  t.same(planAddress('fd00::1', undefined, undefined), undefined)
  t.end()
})

t.test('an address that goes from one Service to another at once is the other\'s', async (t) => {
  const { server } = await startTestServer(t)
  await ask(server, 'POST', services, service('a', { clusterIP: '10.96.7.7' }))
  await ask(server, 'DELETE', `${services}/a`)
  t.match(await ask(server, 'POST', services, service('b', { clusterIP: '10.96.7.7' })), { status: 201 })
  await until(async () => JSON.stringify((await ask(server, 'GET', `${networking}/ipaddresses/10.96.7.7`)).body).includes('"name":"b"'))
})
