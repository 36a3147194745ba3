/**
 * What a service costs its clients: the time of the first packet and connections a second, through a cluster IP and to the pod's own
 * address, with 1, 10,000 and 30,000 services in the kernel. Client and server are namespaces with the host between them.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { systemClock } from '../api/clock.ts'
import { createLogger } from '../api/log.ts'
import { startProxy } from '../proxy/index.ts'
import { SmallApi } from '../proxy/test-support/api.ts'
import { makeNetwork } from '../proxy/test-support/network.ts'
import type { TestNetwork } from '../proxy/test-support/network.ts'
import { service, slice } from '../proxy/test-support/objects.ts'
import { percentile } from './run.ts'
import type { Figure } from './run.ts'
import type { Asked, Measured } from './test-support/first-packet.ts'

const sizes = [1, 10_000, 30_000]
/** Measured in turns, service and direct, so that what else the machine does meets both. */
const turns = 40
const packetsATurn = 150
const connectsATurn = 500

const clusterIP = (at: number): string => `10.${96 + (at >> 16)}.${(at >> 8) & 255}.${at & 255}`
/** The one that is measured stands in the midst of the others. */
const measured = { clusterIP: '10.111.0.1', pod: '10.244.0.6', port: 8080 } as const

export async function bench(): Promise<Figure[]> {
  const figures: Figure[] = []
  for (const size of sizes) {
    await using network = await makeNetwork()
    figures.push(...await benchSize(network, size))
  }
  return figures
}

async function benchSize(network: TestNetwork, size: number): Promise<Figure[]> {
  const api = new SmallApi()
  api.putNode({ metadata: { name: 'node-1' }, spec: { podCIDRs: ['10.244.0.0/24'] }, status: { addresses: [{ type: 'InternalIP', address: '192.0.2.1' }] } })
  const udp = { name: 'u', port: 80, protocol: 'UDP' as const }
  const tcp = { name: 't', port: 80, protocol: 'TCP' as const }
  api.putService(service('measured', { clusterIP: measured.clusterIP, ports: [udp, tcp] }))
  api.putSlice(slice('measured', [measured.pod], { ports: [{ ...udp, port: measured.port }, { ...tcp, port: measured.port }] }))
  for (let at = 1; at < size; at += 1) {
    api.putService(service(`s${at}`, { clusterIP: clusterIP(at) }))
    api.putSlice(slice(`s${at}`, [`10.128.${(at >> 8) & 255}.${at & 255}`, `10.129.${(at >> 8) & 255}.${at & 255}`]))
  }
  const proxy = await startProxy({ client: api.client, nodeName: 'node-1', netns: network.host, clock: systemClock, random: Math.random, healthzBindAddress: 'none', log: createLogger({ level: 'warn' }) })
  const [client, server] = [start(network, 'pod-a'), start(network, 'pod-b')]
  try {
    await ask(server, { kind: 'serve', address: measured.pod, port: measured.port })
    const through: Record<'service' | 'direct', Measured[]> = { service: [], direct: [] }
    for (let turn = 0; turn <= turns; turn += 1) {
      for (const way of ['service', 'direct'] as const) {
        const at = way === 'service' ? { address: measured.clusterIP, port: 80 } : { address: measured.pod, port: measured.port }
        const result = await ask<Measured>(client, { kind: 'measure', ...at, packets: packetsATurn, connects: connectsATurn })
        // the first turn warms up
        if (turn > 0) through[way].push(result)
      }
    }
    return figuresOf(size, through)
  } finally {
    for (const child of [client, server]) child.disconnect()
    await Promise.all([client, server].map((child) => once(child, 'exit')))
    await proxy.stop()
  }
}

function figuresOf(size: number, { service, direct }: Record<'service' | 'direct', readonly Measured[]>): Figure[] {
  const latency = (results: readonly Measured[], share: number): number => percentile(results.flatMap(({ latenciesUs }) => latenciesUs), share)
  const share = percentile(service.map(({ connectsPerSecond }, turn) => connectsPerSecond / (direct[turn]?.connectsPerSecond ?? Number.NaN)), 0.5)
  const rate = (results: readonly Measured[]): number => percentile(results.map(({ connectsPerSecond }) => connectsPerSecond), 0.5)
  return [
    {
      name: `${size} services: first packet and its answer`, unit: 'µs',
      values: { 'service p50': latency(service, 0.5), 'service p99': latency(service, 0.99), 'direct p50': latency(direct, 0.5), 'direct p99': latency(direct, 0.99) },
    },
    { name: `${size} services: connections (median of turns)`, unit: '1/s', values: { service: rate(service), direct: rate(direct), share } },
  ]
}

function start(network: TestNetwork, space: string): ChildProcess {
  return spawn('nsenter', [`--net=${network.path(space)}`, process.execPath, new URL('test-support/first-packet.ts', import.meta.url).pathname], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], env: { PATH: process.env['PATH'] } })
}

async function ask<T>(child: ChildProcess, asked: Asked): Promise<T> {
  child.send(asked)
  const [answer] = (await once(child, 'message')) as [T]
  return answer
}
