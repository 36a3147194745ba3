/** Policies in the kernel: what they let pass between real pods, and that changes one after the other lead to the same as the last alone. */
import t from 'tap'
import type { KubeObject, NetworkPolicy, Pod } from '../../api/types.ts'
import { Netns } from '../../netlink/netns.ts'
import { openNftables } from '../../netlink/nftables/index.ts'
import type { Ruleset } from '../../netlink/nftables/index.ts'
import { addressOf, makeHost } from '../test-support/host.ts'
import { ask, serve } from '../test-support/talk.ts'
import { policyFate } from './explain.ts'
import { planPolicy, policyTable } from './plan.ts'
import { wantPolicy } from './want.ts'
import type { PolicyWant } from './want.ts'

if (process.getuid?.() !== 0) {
  t.plan(0, 'network policies: needs root')
  process.exit()
}

const namespaces: KubeObject[] = [{ metadata: { name: 'default', labels: { team: 'a' } } }, { metadata: { name: 'other', labels: { team: 'b' } } }]

function podOf(name: string, addresses: readonly string[], namespace = 'default'): Pod {
  return { metadata: { name, namespace, labels: { app: name } }, spec: { nodeName: 'here', containers: [{ name: 'main', image: '', ports: [{ name: 'web', containerPort: 80 }] }] }, status: { phase: 'Running', podIPs: addresses.map((ip) => ({ ip })) } }
}

function policyOf(name: string, spec: NonNullable<NetworkPolicy['spec']>, namespace = 'default'): NetworkPolicy {
  return { metadata: { name, namespace }, spec: { podSelector: {}, ...spec } }
}

class Kernel {
  readonly #netns: Netns
  #have: PolicyWant | undefined

  constructor(netns: Netns) {
    this.#netns = netns
  }

  apply(policies: readonly NetworkPolicy[], pods: readonly Pod[]): void {
    using nftables = openNftables({ netns: this.#netns })
    const want = wantPolicy({ nodeName: 'here', policies, pods, namespaces })
    nftables.apply(planPolicy(want, this.#have))
    this.#have = want
  }

  read(): Ruleset | undefined {
    using nftables = openNftables({ netns: this.#netns })
    return nftables.list(policyTable)
  }
}

t.test('pods reach whom policies let them reach, in both families, and answers come back', async (t) => {
  using host = await makeHost('resident')
  const both = ['10.244.0.0/24', 'fd00:10:244::/64']
  const pods: Pod[] = []
  for (const [name, namespace] of [['web', 'default'], ['db', 'default'], ['stranger', 'other']] as const) {
    host.addPod(name)
    const result = await host.add(name, host.config({}, both))
    const ips = (result.object['ips'] as readonly { readonly address: string }[]).map(({ address }) => address.split('/')[0] ?? '')
    t.equal(ips[0], addressOf(result))
    pods.push(podOf(name, ips, namespace))
  }
  using _web = await serve(host, 'web', 'web', 80)
  using _other = await serve(host, 'web', 'web', 81)
  using _db = await serve(host, 'db', 'db', 80)
  const kernel = new Kernel(host.netns)
  const reaches = async (from: string | undefined, to: string, expected: string, name: string, port = 80): Promise<void> => {
    const answered: string[] = []
    for (const ip of pods.find(({ metadata }) => metadata.name === to)?.status?.podIPs?.map((each) => each.ip) ?? []) {
      for (const protocol of ['tcp', 'udp'] as const) {
        const way = `${protocol}${ip.includes(':') ? 6 : 4}`
        // for what should not come, one need not wait as long as a busy machine may take
        if ((await ask(host, from, protocol, ip, port, expected.includes(way) ? 10 : 0.3)).startsWith(to)) answered.push(way)
      }
    }
    t.equal(answered.join(' '), expected, name)
    t.equal(explained(from, to, port), expected, `${name}: the model says the same`)
  }
  /** What the model of the kernel's table says. */
  const explained = (from: string | undefined, to: string, port: number): string => {
    const ruleset = kernel.read()
    const addresses = (name: string): string[] => pods.find(({ metadata }) => metadata.name === name)?.status?.podIPs?.map(({ ip }) => ip) ?? []
    return addresses(to).flatMap((destination, at) => (['tcp', 'udp'] as const).filter((protocol) => {
      const packet = { source: from === undefined ? '' : (addresses(from)[at] ?? ''), destination, protocol, port }
      return from === undefined || ruleset === undefined || (['egress', 'ingress'] as const).every((direction) => policyFate(ruleset, direction, packet)?.passes !== false)
    }).map((protocol) => `${protocol}${destination.includes(':') ? 6 : 4}`)).join(' ')
  }
  const all = 'tcp4 udp4 tcp6 udp6'

  kernel.apply([], pods)
  t.equal(kernel.read(), undefined, 'without a policy there is no table')
  await reaches('stranger', 'web', all, 'stranger to web')

  kernel.apply([policyOf('deny', { podSelector: { matchLabels: { app: 'web' } } })], pods)
  await reaches('db', 'web', '', 'nobody is let in')
  await reaches('web', 'db', all, 'it may ask, and is answered')
  await reaches(undefined, 'web', all, 'the host always reaches its own pods')
  await reaches('web', 'web', all, 'and a pod itself')

  kernel.apply([policyOf('deny', { podSelector: { matchLabels: { app: 'web' } } }), policyOf('db', { podSelector: { matchLabels: { app: 'web' } }, ingress: [{ from: [{ podSelector: { matchLabels: { app: 'db' } } }], ports: [{ port: 'web' }] }] })], pods)
  await reaches('db', 'web', 'tcp4 tcp6', 'one port of one protocol')
  await reaches('db', 'web', '', 'db to web', 81)
  await reaches('stranger', 'web', '', 'stranger to web')

  kernel.apply([policyOf('team', { ingress: [{ from: [{ namespaceSelector: { matchLabels: { team: 'b' } } }] }] })], pods)
  await reaches('stranger', 'web', all, 'a namespace')
  await reaches('db', 'web', '', 'db to web')

  const [dbAddress = ''] = (pods[1]?.status?.podIPs ?? []).map(({ ip }) => ip)
  kernel.apply([policyOf('out', { podSelector: { matchLabels: { app: 'web' } }, policyTypes: ['Egress'], egress: [{ to: [{ ipBlock: { cidr: '10.244.0.0/24', except: [`${dbAddress}/32`] } }] }] })], pods)
  await reaches('web', 'db', '', 'a hole in a block')
  await reaches('stranger', 'web', all, 'who is only kept from asking is asked')

  kernel.apply([], pods)
  t.equal(kernel.read(), undefined, 'the last policy takes the table with it')
  await reaches('db', 'web', all, 'db to web')
})

t.test('after any changes the kernel has what the last state alone would have it have', (t) => {
  using _first = new TemporaryNetns()
  using _second = new TemporaryNetns()
  const changing = new Kernel(_first.netns)
  const random = seeded(7)
  const pick = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)] as T
  const specs: readonly NonNullable<NetworkPolicy['spec']>[] = [
    {}, { ingress: [{}] }, { ingress: [{ ports: [{ port: 80 }, { port: 'web', protocol: 'UDP' }] }] }, { policyTypes: ['Egress'] }, { egress: [{ to: [{ podSelector: { matchLabels: { app: 'p1' } } }], ports: [{ port: 'web' }] }] },
    { podSelector: { matchLabels: { app: 'p2' } }, ingress: [{ from: [{ namespaceSelector: {} }, { ipBlock: { cidr: '10.0.0.0/8', except: ['10.3.0.0/16'] } }, { ipBlock: { cidr: 'fd00::/8' } }] }] },
    { ingress: [{ from: [{ ipBlock: { cidr: '10.0.0.0/9' } }, { ipBlock: { cidr: '10.64.0.0/10' } }], ports: [{ port: 1, endPort: 65535 }] }] },
  ]
  let policies: NetworkPolicy[] = []
  let pods: Pod[] = []
  for (let round = 0; round < 150; round += 1) {
    if (random() < 0.5) policies = policies.length > 3 ? policies.slice(1) : [...policies, policyOf(`p${round}`, pick(specs), pick(['default', 'other']))]
    else pods = pods.length > 8 ? pods.slice(1) : [...pods, podOf(`p${round % 4}`, [`10.244.0.${round + 1}`, `fd00::${round + 1}`], pick(['default', 'other']))]
    changing.apply(policies, pods)
    const fresh = new Kernel(_second.netns)
    fresh.apply(policies, pods)
    t.strictSame(contents(changing.read()), contents(fresh.read()), `round ${round}`)
  }
  t.end()
})

class TemporaryNetns implements Disposable {
  readonly #path = `/run/netns/fairway-policy-${process.pid}-${Math.floor(performance.now() * 1000)}`
  readonly netns: Netns

  constructor() {
    this.netns = Netns.create(this.#path)
  }

  [Symbol.dispose](): void {
    this.netns.close()
    Netns.delete(this.#path)
  }
}

/** Without the numbers that the kernel gives, and in an order of its own. */
function contents(ruleset: Ruleset | undefined): unknown {
  if (ruleset === undefined) return undefined
  const chains = [...ruleset.chains.values()].map(({ name, rules }) => [name, rules.map(({ statements }) => JSON.stringify(statements))])
  const sets = [...ruleset.sets.values()].map(({ name, elements }) => [name, elements.map(({ key, data }) => JSON.stringify([key, data])).sort()])
  return { chains: chains.sort(byName), sets: sets.sort(byName) }
}

function byName([a]: readonly unknown[], [b]: readonly unknown[]): number {
  return String(a) < String(b) ? -1 : 1
}

/** Mulberry32. */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
