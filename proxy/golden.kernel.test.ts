/**
 * A dozen typical services, each alone in the kernel, as `nft` lists what is there for it: its elements, and the chains that came for it.
 * The rest of the table is always the same and stands in `test-support/typical.nft`. `--update` writes `test-support/services.nft` anew.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { systemClock } from '../api/clock.ts'
import { silentLogger } from '../api/log.ts'
import type { EndpointSlice, Service } from '../api/types.ts'
import { Netns } from '../netlink/netns.ts'
import { openNftables } from '../netlink/nftables/index.ts'
import type { Nftables } from '../netlink/nftables/index.ts'
import { FakeNftables } from '../netlink/nftables/test-support/fake-nftables.ts'
import { readHave } from './have.ts'
import { whereTo } from './model.ts'
import { table } from './rules.ts'
import { frontendKey, parseFrontendId, wantService } from './service.ts'
import { Sync } from './sync.ts'
import { endpoint, node1, service, slice } from './test-support/objects.ts'
import { Want } from './want.ts'

if (process.getuid?.() !== 0) {
  t.plan(0, 'services as nft lists them: needs root')
  process.exit()
}

interface Typical {
  readonly name: string
  readonly service: Service
  readonly slices: readonly EndpointSlice[]
}

const two = slice('web', ['10.244.0.5', '10.244.1.5'])
const balanced = (given: Service, ...ingress: readonly { ip: string; ipMode?: 'VIP' | 'Proxy' }[]): Service => ({ ...given, status: { loadBalancer: { ingress: [...ingress] } } })
const dnsPorts = [{ name: 'dns', port: 53, protocol: 'UDP' as const }, { name: 'dns-tcp', port: 53, protocol: 'TCP' as const }]
const typical: readonly Typical[] = [
  { name: 'a cluster IP with two endpoints', service: service('web'), slices: [two] },
  { name: 'both families', service: service('web', { clusterIPs: ['10.96.0.53', 'fd00:10:96::53'] }), slices: [two, slice('web', ['fd00:10:244::5', 'fd00:10:244:1::5'], { name: 'six' })] },
  { name: 'DNS: one port for UDP and TCP', service: service('dns', { ports: dnsPorts }), slices: [slice('dns', ['10.244.0.5', '10.244.1.5'], { ports: dnsPorts })] },
  { name: 'SCTP', service: service('sctp', { ports: [{ port: 36_412, protocol: 'SCTP' }] }), slices: [slice('sctp', ['10.244.0.5'], { ports: [{ port: 36_412, protocol: 'SCTP' }] })] },
  { name: 'a target port by name that differs by pod', service: service('web'), slices: [two, slice('web', ['10.244.1.9'], { name: 'other', ports: [{ port: 9090 }] })] },
  { name: 'without endpoints', service: service('web'), slices: [] },
  { name: 'a node port', service: service('web', { type: 'NodePort', ports: [{ port: 80, nodePort: 30080 }] }), slices: [two] },
  { name: 'a node port whose traffic stays on the node', service: service('web', { type: 'NodePort', externalTrafficPolicy: 'Local', ports: [{ port: 80, nodePort: 30080 }] }), slices: [two] },
  { name: 'a node port whose traffic must stay on a node without endpoints', service: service('web', { type: 'NodePort', externalTrafficPolicy: 'Local', ports: [{ port: 80, nodePort: 30080 }] }), slices: [slice('web', ['10.244.1.5'])] },
  { name: 'a cluster IP whose traffic stays on the node', service: service('web', { internalTrafficPolicy: 'Local' }), slices: [two] },
  {
    name: 'a balancer with source ranges; an address that the balancer serves itself',
    service: balanced(service('web', { type: 'LoadBalancer', loadBalancerSourceRanges: ['203.0.113.0/24'] }), { ip: '198.51.100.80' }, { ip: '198.51.100.81', ipMode: 'Proxy' }), slices: [two],
  },
  { name: 'external addresses', service: service('web', { externalIPs: ['198.51.100.1'] }), slices: [two] },
  { name: 'client affinity', service: service('web', { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } } }), slices: [two] },
  {
    name: 'trafficDistribution: hints for this zone', service: service('web', { trafficDistribution: 'PreferSameZone' }),
    slices: [slice('web', ['10.244.0.5', '10.244.1.5'].map((text, at) => ({ ...endpoint(text), hints: { forZones: [{ name: at === 0 ? 'a' : 'b' }] } })))],
  },
  { name: 'all endpoints are terminating, one serves still', service: service('web'), slices: [slice('web', ['~10.244.0.5', '!10.244.1.5'])] },
]

const directory = mkdtempSync(join(tmpdir(), 'fairway-golden-'))
const path = join(directory, 'netns')
const netns = Netns.create(path)
t.teardown(() => {
  netns.close()
  Netns.delete(path)
  rmSync(directory, { recursive: true })
})

/** What nft lists of elements, and of chains that come and go. */
function listed(): string {
  const text = execFileSync('nsenter', [`--net=${path}`, 'nft', 'list', 'table', table.family, table.name], { encoding: 'utf8' })
  const blocks = text.replace(/\n\}\n$/, '').split('\n\n').flatMap((block) => block.split(/\n(?=\t(?:set|map|chain) )/)).map((block) => block.replace(/^table .*\n/, ''))
  return blocks.filter((block) => block.includes('elements = {') || /^\tchain (?:[ni]\d|stick-)/.test(block)).map((block) => block.replaceAll(/\n\t\t(?:type|flags|size|comment) .*/g, '')).join('\n')
}

async function programmed(nftables: Nftables, { service, slices }: Typical): Promise<readonly string[]> {
  const want = new Want()
  const wanted = wantService('default/it', service, slices, node1)
  want.put('default/it', wanted)
  nftables.apply([{ kind: 'deleteTable', table, ifExists: true }])
  const sync = new Sync({ nftables, fixed: {}, clock: systemClock, log: silentLogger, onMustSync: () => undefined })
  await sync.sync(want)
  sync.close()
  return [...wanted.targets.keys()]
}

const golden = new URL('test-support/services.nft', import.meta.url)
const sections: string[] = []

t.test('kernel and fake have the same, and the model sends the same packets to the same places', async (t) => {
  using kernel = openNftables({ netns })
  for (const each of typical) {
    const ids = await programmed(kernel, each)
    const fake = new FakeNftables()
    await programmed(fake, each)
    const [inKernel, inFake] = [kernel.list(table), fake.list(table)]
    t.strictSame(readHave(inKernel, {}), readHave(inFake, {}), each.name)
    for (const id of ids) {
      const { address, protocol, port } = parseFrontendId(id)
      for (const source of ['10.244.0.5', '192.0.2.1', '203.0.113.7', '198.51.100.9'].filter((text) => text.includes(':') === address.includes(':'))) {
        const packet = { source, destination: address, protocol, port, hostAddresses: ['192.0.2.1'] }
        t.strictSame(inKernel && whereTo(inKernel, packet), inFake && whereTo(inFake, packet), `${each.name}: ${source} to ${frontendKey({ address, protocol, port })}`)
      }
    }
    sections.push(`# ${each.name}\n${listed()}\n`)
  }
})

t.test('nft lists of each service what the golden file has', async (t) => {
  const text = sections.join('\n')
  if (process.argv.includes('--update')) writeFileSync(golden, text)
  t.equal(text, readFileSync(golden, 'utf8'))
})
