/** One size of `proxy-sync`: NETNS SERVICES ENDPOINTS. Says by IPC what it measured. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from '../../api/client.ts'
import { systemClock } from '../../api/clock.ts'
import { createLogger } from '../../api/log.ts'
import type { Transport } from '../../api/transport.ts'
import { Netns } from '../../netlink/netns.ts'
import { openNftables } from '../../netlink/nftables/index.ts'
import { startProxy } from '../../proxy/index.ts'
import type { Moved } from './proxy-sync-api.ts'

export interface Measured {
  readonly cold: number
  /** Processor time of the cold start, which other work on the machine does not lengthen. */
  readonly coldProcessor: number
  readonly restart: number
  readonly samples: readonly number[]
  readonly memory: Memory
}

/** Of the proxy's process, in MiB. */
interface Memory {
  /** Before there was a proxy: Node and the code. */
  readonly 'at first': number
  /** At most, ever. */
  readonly peak: number
  /** Some time after the cold start. */
  readonly settled: number
  /** When all garbage was collected. */
  readonly 'without garbage': number
  /** The same after the changes. */
  readonly 'after changes': number
}

/** After a second the proxy collects its garbage; the pages go back a little later. */
const settleMs = 10_000

/** One change after another, each waited for. */
const changes = 100

const [path = '', services = '0', endpoints = '0'] = process.argv.slice(2)
const netns = Netns.open(path)
const socketPath = `${path}.api`
const api = fork(new URL('proxy-sync-api.ts', import.meta.url), [socketPath, services, endpoints], { execArgv: [] })
await once(api, 'message')

const transport: Transport = ({ method, path, body, signal }) => new Promise((resolve, reject) => {
  const outgoing = request({ socketPath, method, path, ...(signal === undefined ? {} : { signal }) })
  outgoing.on('error', reject)
  outgoing.on('response', (response) => resolve({ status: response.statusCode ?? 0, headers: {}, body: response }))
  outgoing.end(body)
})

/** Resident memory also has the program's files that are mapped, which other Node processes share. */
const withoutGarbageMiB = (): number => {
  gc?.()
  return status('VmRSS')
}

function status(field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? Number.NaN) / 1024
}

const atFirst = withoutGarbageMiB()
const options = { client: new Client(transport), nodeName: 'node-1', netns, clock: systemClock, random: Math.random, healthzBindAddress: 'none', log: createLogger({ level: 'warn' }) }

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
const peak = status('VmHWM')
await sleep(settleMs)
const settled = status('VmRSS')
const withoutGarbage = withoutGarbageMiB()
const nftables = openNftables({ netns })
const samples: number[] = []
for (let turn = 1; turn <= changes; turn += 1) {
  const generation = nftables.generation()
  samples.push(await timed(async () => {
    api.send({ at: (turn * 37) % Number(services), turn } satisfies Moved)
    while (nftables.generation() === generation) await new Promise((resolve) => setImmediate(resolve))
  }))
}
const after = withoutGarbageMiB()
await proxy.stop()
const restart = await timed(async () => (await startProxy(options)).stop())
nftables.close()
netns.close()
api.disconnect()
await once(api, 'exit')
process.send?.({ cold, coldProcessor: (user + system) / 1000, restart, samples, memory: { 'at first': atFirst, peak, settled, 'without garbage': withoutGarbage, 'after changes': after } } satisfies Measured)
process.disconnect?.()
