import * as fc from 'fast-check'
import t from 'tap'
import { nodes } from '../../../api/resources.ts'
import { startTestCluster } from '../test-support/cluster.ts'
import { formatRange, nextFree, overlaps, parseRange } from './plan.ts'

t.test('ranges are read and written', async (t) => {
  for (const text of ['10.244.0.0/16', '0.0.0.0/0', 'fd00:10:244::/56', '2001:db8:0:1::/64', '::/0']) t.equal(formatRange(parseRange(text)), text)
  t.equal(formatRange(parseRange('10.244.7.9/16')), '10.244.0.0/16', 'what is beyond the prefix is cut off')
  for (const text of ['10.244.0.0', '10.244.0.0/33', 'fd00::/129', 'x/8', '']) t.throws(() => parseRange(text), /Cannot read/)
})

t.test('every written range is read again as the same', async () => {
  const bits = (count: number): fc.Arbitrary<bigint> => fc.bigInt({ min: 0n, max: (1n << BigInt(count)) - 1n })
  fc.assert(fc.property(bits(128), fc.integer({ min: 0, max: 128 }), (value, prefix) => {
    const range = { family: 6 as const, prefix, first: (value >> BigInt(128 - prefix)) << BigInt(128 - prefix) }
    const again = parseRange(formatRange(range))
    return again.first === range.first && again.prefix === prefix
  }))
})

t.test('nodes get one after the other; what came free is used again only when the rest is taken', async (t) => {
  const cluster = parseRange('10.244.0.0/22')
  const taken = ['10.244.0.0/24', '10.244.2.0/24'].map(parseRange)
  t.equal(formatRange(nextFree(cluster, taken)!.range), '10.244.1.0/24')
  t.equal(formatRange(nextFree(cluster, taken, 3)!.range), '10.244.3.0/24')
  t.equal(formatRange(nextFree(cluster, [...taken, parseRange('10.244.3.0/24')], 3)!.range), '10.244.1.0/24')
  t.equal(nextFree(cluster, [parseRange('10.244.0.0/16')]), undefined, 'a larger range takes all that is in it')
  t.equal(nextFree(cluster, ['10.244.0.0/24', '10.244.1.0/24', '10.244.2.0/24', '10.244.3.0/24'].map(parseRange)), undefined)
  t.ok(overlaps(parseRange('10.0.0.0/8'), parseRange('10.1.2.0/24')))
  t.notOk(overlaps(parseRange('10.0.0.0/16'), parseRange('10.1.0.0/16')))
  t.equal(formatRange(nextFree(parseRange('fd00:10:244::/56'), [parseRange('fd00:10:244::/64')])!.range), 'fd00:10:244:1::/64')
})

t.test('many nodes at once get different ranges of both families, and keep them', async (t) => {
  const cluster = await startTestCluster({ controllers: ['node-ipam'], clusterCIDRs: ['10.244.0.0/16', 'fd00:10:244::/56'] })
  t.teardown(() => cluster.stop())
  const { client } = cluster
  await client.create(nodes, { apiVersion: 'v1', kind: 'Node', metadata: { name: 'old' }, spec: { podCIDR: '10.244.1.0/24', podCIDRs: ['10.244.1.0/24'] } })
  await Promise.all(Array.from({ length: 20 }, (_, i) => client.create(nodes, { apiVersion: 'v1', kind: 'Node', metadata: { name: `node-${i}` }, spec: {} })))
  const items = await cluster.until('ranges for all', async () => {
    const { items } = await client.list(nodes)
    return items.every(({ spec }) => (spec.podCIDRs?.length ?? 0) > 0) && items
  })
  const all = items.flatMap(({ spec }) => spec.podCIDRs ?? [])
  t.equal(new Set(all).size, 41)
  t.ok(items.every(({ spec }) => spec.podCIDR === spec.podCIDRs?.[0]))
  t.same(items.find(({ metadata }) => metadata.name === 'old')?.spec.podCIDRs, ['10.244.1.0/24'])
})
