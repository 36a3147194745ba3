import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { leftovers, makeHost, nothing } from '../test-support/host.ts'
import type { Answered, TestHost } from '../test-support/host.ts'

if (process.getuid?.() !== 0) {
  t.plan(0, 'rates of pods: needs root')
  process.exit()
}

/** What iperf3 measures from the host to a pod's address, or the other way, in bits a second. Runs its server in the pod. */
async function measure(host: TestHost, pod: string, address: string, { reverse, port }: { readonly reverse: boolean; readonly port: number }): Promise<number> {
  const server = spawn('nsenter', [`--net=${host.podPath(pod)}`, 'iperf3', '-s', '-p', String(port)], { stdio: 'ignore' })
  try {
    for (let attempt = 0; attempt < 50; attempt++) {
      const { stdout, status } = await host.run(undefined, 'iperf3', '-J', '-c', address, '-p', String(port), '-t', '2', '-O', '1', ...(reverse ? ['-R'] : []))
      const measured = status === 0 ? (JSON.parse(stdout) as { readonly end?: { readonly sum_received?: { readonly bits_per_second: number } } }).end?.sum_received?.bits_per_second : undefined
      if (measured !== undefined) return measured
      await sleep(50)
    }
    throw new Error('Cannot measure: iperf3 does not answer')
  } finally {
    server.kill('SIGKILL')
  }
}

t.test('a pod receives and sends at its rates, and CHECK sees when a limit is gone', async (t) => {
  using host = await makeHost('resident')
  host.addPod('a')
  const rates = { ingressRate: 20_000_000, ingressBurst: 800_000, egressRate: 40_000_000, egressBurst: 800_000 }
  const config = host.config({ runtimeConfig: { bandwidth: rates } })
  const added = await host.add('a', config)
  t.match(added, { status: 0 })
  const [received, sent] = await Promise.all([measure(host, 'a', '10.244.0.2', { reverse: false, port: 5201 }), measure(host, 'a', '10.244.0.2', { reverse: true, port: 5202 })])
  t.comment(`received ${(received / 1e6).toFixed(1)} of 20 Mbit/s, sent ${(sent / 1e6).toFixed(1)} of 40 Mbit/s`)
  t.ok(received > 0.7 * rates.ingressRate && received < 1.05 * rates.ingressRate, `received ${received}`)
  t.ok(sent > 0.7 * rates.egressRate && sent < 1.05 * rates.egressRate, `sent ${sent}`)
  const check = (): Promise<Answered> => host.cni({ command: 'CHECK', containerId: 'a', netns: host.podPath('a'), ifname: 'eth0', config: { ...config, prevResult: added.object } })
  t.match(await check(), { status: 0, stdout: '' })
  await host.run('a', 'tc', 'qdisc', 'del', 'dev', 'eth0', 'root')
  t.match(await check(), { status: 1, object: { code: 103, msg: /the rate that it sends at is not limited/ } })
  await host.del('a', config)
  t.strictSame(leftovers(host), nothing)
})

t.test('the configuration may limit all pods, and the capability one of them', async (t) => {
  using host = await makeHost('resident')
  for (const name of ['a', 'b']) host.addPod(name)
  await host.add('a', host.config({ bandwidth: { egressRate: 8_000_000 } }))
  await host.add('b', host.config({ bandwidth: { egressRate: 8_000_000 }, runtimeConfig: { bandwidth: { egressRate: 16_000_000 } } }))
  const rateOf = async (pod: string): Promise<string | undefined> => /rate (\S+)/.exec((await host.run(pod, 'tc', 'qdisc', 'show', 'dev', 'eth0')).stdout)?.[1]
  t.strictSame([await rateOf('a'), await rateOf('b')], ['8Mbit', '16Mbit'])
})
