import * as fc from 'fast-check'
import t from 'tap'
import type { Service } from '../../../../api/types.ts'
import type { Reservation } from '../../descriptor.ts'
import { contextOf } from '../test-support/table.ts'
import { AddressRange, familyOf } from './address-range.ts'
import { ClusterIPs } from './cluster-ips.ts'
import { NodePorts, parsePortRange } from './node-ports.ts'

let serial = 0
function service(spec: Partial<Service['spec']> = {}): Service {
  serial += 1
  return { metadata: { name: `s${serial}`, namespace: 'default' }, spec: { type: 'ClusterIP', ipFamilies: ['IPv4'], ports: [{ port: 80, protocol: 'TCP' }], ...spec } }
}

t.test('a range gives out neither the network nor the broadcast address', (t) => {
  const range = new AddressRange('10.0.0.0/29')
  t.same([range.at(range.first), range.at(range.last)], ['10.0.0.1', '10.0.0.6'])
  for (const [address, isIn] of [['10.0.0.0', false], ['10.0.0.1', true], ['10.0.0.6', true], ['10.0.0.7', false], ['10.0.1.1', false], ['::1', false], ['x', false]] as const) {
    t.equal(range.contains(address), isIn, address)
  }
  t.equal(new AddressRange('fd00::/108').at(1), 'fd00::1')
  for (const wrong of ['10.0.0.0', '10.0.0.0/33', 'x/8', '10.0.0.0/32']) t.throws(() => new AddressRange(wrong), /Cannot use service range/, wrong)
  t.same(['10.0.0.1', '010.0.0.1', '::1', '1.2.3', '10.0.0.0/8', 'fe80::1%eth0'].map(familyOf), ['IPv4', undefined, 'IPv6', undefined, undefined, undefined])
  t.end()
})

t.test('an address that is asked for is given, unless another has it or it is outside', (t) => {
  const addresses = new ClusterIPs(['10.0.0.0/24'])
  const first = service({ clusterIP: '10.0.0.10', clusterIPs: ['10.0.0.10'] })
  const context = contextOf({ services: [first] })
  t.throws(() => addresses.reserve(service({ clusterIPs: ['10.0.0.10'] }), undefined, context), { message: /spec.clusterIPs: .*failed to allocate IP 10.0.0.10: provided IP is already allocated/, code: 422 })
  t.throws(() => addresses.reserve(service({ clusterIPs: ['10.1.0.1'] }), undefined, context), /the provided IP \(10.1.0.1\) is not in the valid range. The range of valid IPs is 10.0.0.0\/24/)
  const again = service({ clusterIPs: ['10.0.0.11'] })
  const held = addresses.reserve(again, undefined, context)
  t.throws(() => addresses.reserve(service({ clusterIPs: ['10.0.0.11'] }), undefined, context), /already allocated/, 'held while the write is under way')
  held.rollback()
  t.doesNotThrow(() => addresses.reserve(service({ clusterIPs: ['10.0.0.11'] }), undefined, context).rollback(), 'free again when it failed')
  addresses.reserve(first, first, context).commit()
  t.equal(first.spec.clusterIP, '10.0.0.10', 'an update keeps its own')
  t.end()
})

t.test('headless and external services take no address, a second family takes one of its own', (t) => {
  const addresses = new ClusterIPs(['10.0.0.0/24', 'fd00::/108'])
  const both = service({ ipFamilies: ['IPv6', 'IPv4'] })
  addresses.reserve(both, undefined, contextOf()).commit()
  t.match(both.spec.clusterIPs, [/^fd00::/, /^10\.0\.0\./])
  t.equal(both.spec.clusterIP, both.spec.clusterIPs?.[0])
  const headless = service({ clusterIP: 'None', clusterIPs: ['None'] })
  addresses.reserve(headless, undefined, contextOf()).commit()
  t.same(headless.spec.clusterIPs, ['None'])
  const external = service({ type: 'ExternalName' })
  addresses.reserve(external, undefined, contextOf()).commit()
  t.equal(external.spec.clusterIP, undefined)
  t.end()
})

t.test('the lower addresses and ports are left to those who ask, as long as there are others', (t) => {
  const addresses = new ClusterIPs(['10.0.0.0/24'])
  const ports = new NodePorts({ first: 30_000, last: 30_099 })
  for (let n = 0; n < 50; n++) {
    const one = service({ type: 'NodePort' })
    addresses.reserve(one, undefined, contextOf()).commit()
    ports.reserve(one, undefined, contextOf()).commit()
    t.ok(Number(one.spec.clusterIP?.split('.')[3]) > 16, one.spec.clusterIP ?? '')
    t.ok((one.spec.ports?.[0]?.nodePort ?? 0) >= 30_016)
  }
  t.end()
})

t.test('whatever is created, changed, failed and deleted: no two services have the same address or port', (t) => {
  const step = fc.record({ what: fc.constantFrom('create', 'delete', 'fail', 'update'), ask: fc.option(fc.integer({ min: 1, max: 14 })), pick: fc.nat(), concurrent: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })), (steps, randoms) => {
      const addresses = new ClusterIPs(['10.0.0.0/28'])
      const ports = new NodePorts({ first: 30_000, last: 30_019 })
      const stored: Service[] = []
      const pending: [Service, Reservation[]][] = []
      const random = (): number => randoms.next().value as number
      const settle = (): void => {
        for (const [one, reservations] of pending.splice(0)) {
          stored.push(one)
          for (const reservation of reservations) reservation.commit()
        }
      }
      for (const { what, ask, pick, concurrent } of steps) {
        const context = contextOf({ services: stored }, random)
        if (what === 'delete') stored.splice(pick % (stored.length + 1), 1)
        else if (what === 'update' && stored.length > 0) {
          const old = stored[pick % stored.length] as Service
          const wanted = structuredClone(old)
          wanted.spec.ports?.push({ port: 1000 + pick, protocol: 'UDP' })
          const reservations = reserveBoth(addresses, ports, wanted, old, context)
          if (reservations !== undefined) {
            stored[stored.indexOf(old)] = wanted
            for (const reservation of reservations) reservation.commit()
          }
        } else {
          const asked = ask === null ? {} : { clusterIPs: [`10.0.0.${ask}`], ports: [{ port: 80, protocol: 'TCP' as const, nodePort: 30_000 + ask }] }
          const wanted = service({ type: 'NodePort', ...asked })
          const reservations = reserveBoth(addresses, ports, wanted, undefined, context)
          if (reservations === undefined) continue
          if (what === 'fail') for (const reservation of reservations) reservation.rollback()
          else pending.push([wanted, reservations])
        }
        if (!concurrent) settle()
      }
      settle()
      const all = stored.flatMap(({ spec }) => spec.clusterIPs ?? [])
      const allPorts = stored.flatMap(({ spec }) => (spec.ports ?? []).map(({ protocol, nodePort }) => `${protocol}/${nodePort}`))
      return new Set(all).size === all.length && all.length === stored.length && new Set(allPorts).size === allPorts.length && !allPorts.some((key) => key.includes('undefined'))
    }),
    { numRuns: 200 },
  )
  t.end()
})

function reserveBoth(addresses: ClusterIPs, ports: NodePorts, wanted: Service, old: Service | undefined, context: ReturnType<typeof contextOf>): Reservation[] | undefined {
  const done: Reservation[] = []
  try {
    done.push(addresses.reserve(wanted, old, context))
    done.push(ports.reserve(wanted, old, context))
    return done
  } catch {
    for (const reservation of done) reservation.rollback()
    return undefined
  }
}

t.test('a full range says so', (t) => {
  const ports = new NodePorts({ first: 30_000, last: 30_000 })
  const taken = service({ type: 'NodePort', ports: [{ port: 80, protocol: 'TCP', nodePort: 30_000 }] })
  t.throws(() => ports.reserve(service({ type: 'NodePort' }), undefined, contextOf({ services: [taken] })), /failed to allocate a nodePort: range is full/)
  const udp = service({ type: 'NodePort', ports: [{ port: 53, protocol: 'UDP' }] })
  ports.reserve(udp, undefined, contextOf({ services: [taken] })).commit()
  t.equal(udp.spec.ports?.[0]?.nodePort, 30_000, 'the same number of another protocol is another port')
  t.end()
})

t.test('a load balancer that keeps sources gets a port for health checks', (t) => {
  const ports = new NodePorts({ first: 30_000, last: 30_100 })
  const local = service({ type: 'LoadBalancer', externalTrafficPolicy: 'Local' })
  ports.reserve(local, undefined, contextOf()).commit()
  t.type(local.spec.healthCheckNodePort, 'number')
  t.not(local.spec.healthCheckNodePort, local.spec.ports?.[0]?.nodePort)
  const without = service({ type: 'LoadBalancer', allocateLoadBalancerNodePorts: false })
  ports.reserve(without, undefined, contextOf()).commit()
  t.equal(without.spec.ports?.[0]?.nodePort, undefined)
  t.end()
})

t.test('a range of ports is read, and a wrong one is named', (t) => {
  t.same(parsePortRange('30000-32767'), { first: 30_000, last: 32_767 })
  for (const wrong of ['', '30000', '2-1', '0-5', '1-70000', 'a-b']) t.throws(() => parsePortRange(wrong), /Cannot use node port range/, wrong)
  t.end()
})
