/** One size of `proxy-sync`: NETNS SERVICES ENDPOINTS. Says by IPC what it measured. */
import { systemClock } from '../../api/clock.ts'
import { createLogger } from '../../api/log.ts'
import { Netns } from '../../netlink/netns.ts'
import { openNftables } from '../../netlink/nftables/index.ts'
import { startProxy } from '../../proxy/index.ts'
import { SmallApi } from '../../proxy/test-support/api.ts'
import { service, slice } from '../../proxy/test-support/objects.ts'
import { clusterIP, endpointsOf } from './proxy-sync-objects.ts'

export interface Measured {
  readonly cold: number
  /** Processor time of the cold start, which other work on the machine does not lengthen. */
  readonly coldProcessor: number
  readonly restart: number
  readonly samples: readonly number[]
  readonly residentMiB: number
  /** Resident before there was a proxy: Node, the code, and the API server's own objects, which are not the proxy's. */
  readonly objectsMiB: number
}

/** One change after another, each waited for. */
const changes = 100

const [path = '', services = '0', endpoints = '0'] = process.argv.slice(2)
const size = { services: Number(services), endpoints: Number(endpoints) }
const netns = Netns.open(path)
const api = new SmallApi()
for (let at = 0; at < size.services; at += 1) {
  api.putService(service(`s${at}`, { clusterIP: clusterIP(at) }))
  api.putSlice(slice(`s${at}`, endpointsOf(at, size)))
}
const residentMiB = (): number => {
  gc?.()
  return process.memoryUsage().rss / 2 ** 20
}
const objectsMiB = residentMiB()
const options = { client: api.client, nodeName: 'node-1', netns, clock: systemClock, random: Math.random, healthzBindAddress: 'none', log: createLogger({ level: 'warn' }) }

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return performance.now() - began
}

const used = process.cpuUsage()
const began = performance.now()
const proxy = await startProxy(options)
const cold = performance.now() - began
const { user, system } = process.cpuUsage(used)
const nftables = openNftables({ netns })
const samples: number[] = []
for (let turn = 1; turn <= changes; turn += 1) {
  const at = (turn * 37) % size.services
  const generation = nftables.generation()
  samples.push(await timed(async () => {
    api.putSlice(slice(`s${at}`, endpointsOf(at, { ...size, turn })))
    while (nftables.generation() === generation) await new Promise((resolve) => setImmediate(resolve))
  }))
}
const resident = residentMiB()
await proxy.stop()
const restart = await timed(async () => (await startProxy(options)).stop())
nftables.close()
netns.close()
process.send?.({ cold, coldProcessor: (user + system) / 1000, restart, samples, residentMiB: resident, objectsMiB } satisfies Measured)
process.disconnect?.()
