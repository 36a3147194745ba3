/**
 * ADD and DEL of a pod with an IPv4 address, a port of the host and a rate in both directions: our plugin, through its executable and within the agent,
 * beside Debian's reference chain (bridge with host-local, portmap, bandwidth), each on a host of its own that has 0, 250 and 1,000 pods already. Those
 * that are there have neither ports nor rates on either side, for the reference chain would take minutes to make them.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { TestHost, execute } from '../cni/test-support/host.ts'
import { spread } from './run.ts'
import type { Figure } from './run.ts'
import type { Job, Timings } from './test-support/cni-runtime.ts'

const sizes = [0, 250, 1_000]
const samples = 40
const referencePlugins = '/usr/lib/cni'
const runtime = new URL('test-support/cni-runtime.ts', import.meta.url).pathname

const rates = { ingressRate: 100_000_000, ingressBurst: 10_000_000, egressRate: 100_000_000, egressBurst: 10_000_000 }

interface Chain {
  readonly name: string
  readonly by: Job['by']
  readonly bare: (host: TestHost) => Job['plugins']
  readonly whole: (host: TestHost) => Job['plugins']
}

const ours = (host: TestHost): Record<string, unknown> => ({ type: 'fairway', mtu: 1450, ipam: { type: 'fairway-ipam', dataDir: host.dataDir, ranges: [[{ subnet: '10.244.0.0/20' }]] } })
const bridge = (host: TestHost): Record<string, unknown> => ({
  type: 'bridge', bridge: 'cni0', isGateway: true, mtu: 1450,
  ipam: { type: 'host-local', dataDir: join(host.folder, 'host-local'), ranges: [[{ subnet: '10.244.0.0/20' }]], routes: [{ dst: '0.0.0.0/0' }] },
})

const chains: readonly Chain[] = [
  { name: 'fairway, executable', by: 'executable', bare: (host) => [ours(host)], whole: (host) => [ours(host)] },
  { name: 'fairway, in the agent', by: 'agent', bare: (host) => [ours(host)], whole: (host) => [ours(host)] },
  { name: 'bridge + host-local + portmap + bandwidth', by: 'executable', bare: (host) => [bridge(host)], whole: (host) => [bridge(host), { type: 'portmap' }, { type: 'bandwidth' }] },
]

export async function bench(): Promise<Figure[]> {
  if (!existsSync(join(referencePlugins, 'bridge'))) throw new Error("Cannot measure the reference plugins: install them with 'apt-get install containernetworking-plugins'")
  const figures: Figure[] = []
  for (const size of sizes) for (const chain of chains) figures.push(...await measure(chain, size))
  return figures
}

async function measure(chain: Chain, size: number): Promise<Figure[]> {
  using host = new TestHost()
  await host.serve()
  const pods = (prefix: string, count: number): Job['pods'] => Array.from({ length: count }, (_, index) => {
    const id = `${prefix}${index}`
    const ports = [{ hostPort: 20_000 + index, containerPort: 80, protocol: 'tcp' }]
    return { id, netns: host.addPod(id), runtimeConfig: prefix === 'sample' ? { portMappings: ports, bandwidth: rates } : {} }
  })
  if (size > 0) await runJob(host, { by: chain.by, plugins: chain.bare(host), pods: pods('there', size), deletes: false })
  const { add, del } = await runJob(host, { by: chain.by, plugins: chain.whole(host), pods: pods('sample', samples), deletes: true })
  const figure = (verb: string, values: readonly number[]): Figure => ({ name: `${size} pods there: ${verb} by ${chain.name}`, unit: 'ms', values: spread(values) })
  return [figure('ADD', add), figure('DEL', del)]
}

async function runJob(host: TestHost, job: Omit<Job, 'path'>): Promise<Timings> {
  // a long list of pods is longer than one argument may be
  const parts: Timings[] = []
  for (let at = 0; at < job.pods.length; at += 200) {
    const { status, stdout, stderr } = await execute('nsenter', [`--net=${host.pathOf(undefined)}`, process.execPath, runtime, JSON.stringify({ ...job, path: [host.binDir, referencePlugins], pods: job.pods.slice(at, at + 200) })])
    if (status !== 0) throw new Error(`Cannot measure: ${stderr}`)
    parts.push(JSON.parse(stdout) as Timings)
  }
  return { add: parts.flatMap(({ add }) => add), del: parts.flatMap(({ del }) => del) }
}
