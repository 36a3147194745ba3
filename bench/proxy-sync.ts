/**
 * The proxy's cold start and one change, from the API's objects to the kernel, beside the same services as one chain for each service
 * and endpoint (what kube-proxy's nftables mode writes) loaded by `nft -f`. Each size has a network namespace of its own.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Netns } from '../netlink/netns.ts'
import { spread } from './run.ts'
import type { Figure } from './run.ts'
import { KernelMemory } from './test-support/kernel-memory.ts'
import { clusterIP, endpointsOf } from './test-support/proxy-sync-objects.ts'
import type { Size } from './test-support/proxy-sync-objects.ts'
import type { Measured } from './test-support/proxy-sync.ts'

const sizes: readonly Size[] = [{ services: 100, endpoints: 2 }, { services: 1_000, endpoints: 2 }, { services: 10_000, endpoints: 2 }, { services: 44_000, endpoints: 2 }, { services: 1_000, endpoints: 250 }]
/** The peer takes ever longer: 42 s for 10,000 services. */
const peerChainsMax = 30_000
/** A peer's load of more is minutes. */
const peerChanges = 5

const nameOf = ({ services, endpoints }: Size): string => `${services} services with ${endpoints} endpoints`

export async function bench(): Promise<Figure[]> {
  const figures: Figure[] = []
  for (const size of sizes) {
    figures.push(...await measured(size, benchProxy))
    if (size.services * (size.endpoints + 1) <= peerChainsMax) figures.push(...await measured(size, benchChains))
    else figures.push({ name: `${nameOf(size)}: cold start as chains by nft -f`, unit: 'not measured', values: {} })
  }
  return figures
}

/** Where one of the two puts the services, and who is charged for it. */
interface Place {
  readonly path: string
  readonly kernel: KernelMemory
}

async function measured(size: Size, measure: (place: Place, size: Size) => Promise<Figure[]>): Promise<Figure[]> {
  const directory = mkdtempSync(join(tmpdir(), 'fairway-bench-'))
  const path = join(directory, 'netns')
  const netns = Netns.create(path)
  using kernel = new KernelMemory(`fairway-bench-${process.pid}`)
  let isThere = true
  const remove = (): void => {
    if (!isThere) return
    isThere = false
    netns.close()
    Netns.delete(path)
  }
  try {
    const figures = await measure({ path, kernel }, size)
    const what = measure === benchProxy ? 'of the kernel' : 'of the kernel as chains'
    return [...figures, { name: `${nameOf(size)}: memory ${what}`, unit: 'MiB', values: { used: await kernel.freedBy(remove) } }]
  } finally {
    remove()
    rmSync(directory, { recursive: true })
  }
}

/** In a process of its own, so that its memory is the proxy's, with what `./fairway` has Node do with memory. */
async function benchProxy({ path, kernel }: Place, size: Size): Promise<Figure[]> {
  const child = spawn(process.execPath, ['--expose-gc', '--max-semi-space-size=8', new URL('test-support/proxy-sync.ts', import.meta.url).pathname, path, String(size.services), String(size.endpoints)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  kernel.add(child.pid ?? 0)
  const [{ cold, coldProcessor, restart, samples, memory }] = (await once(child, 'message')) as [Measured]
  await once(child, 'exit')
  return [
    { name: `${nameOf(size)}: cold start`, unit: 'ms', values: { fairway: cold, 'of it processor': coldProcessor, restart } },
    { name: `${nameOf(size)}: one change to the kernel`, unit: 'ms', values: spread(samples) },
    { name: `${nameOf(size)}: resident memory`, unit: 'MiB', values: { ...memory } },
  ]
}

async function benchChains({ path, kernel }: Place, size: Size): Promise<Figure[]> {
  const nft = async (text: string): Promise<number> => {
    const file = `${path}.nft`
    writeFileSync(file, text)
    const began = performance.now()
    const child = spawn('nsenter', [`--net=${path}`, 'nft', '-f', file], { stdio: ['ignore', 'inherit', 'inherit'] })
    kernel.add(child.pid ?? 0)
    const [status] = (await once(child, 'exit')) as [number | null]
    if (status !== 0) throw new Error(`Cannot load chains: nft ended with ${status}`)
    return performance.now() - began
  }
  const cold = await nft(chainsOf(size))
  const samples: number[] = []
  for (let turn = 1; turn <= peerChanges; turn += 1) {
    const at = (turn * 37) % size.services
    samples.push(await nft(endpointsOf(at, size).map((_, which) => `flush chain ip peer ${endpointChain(at, which)}\nadd rule ip peer ${endpointChain(at, which)} meta l4proto tcp dnat to ${endpointsOf(at, { ...size, turn })[which]}:8080\n`).join('')))
  }
  return [
    { name: `${nameOf(size)}: cold start as chains by nft -f`, unit: 'ms', values: { nft: cold } },
    { name: `${nameOf(size)}: one change of chains by nft -f`, unit: 'ms', values: spread(samples) },
  ]
}

const endpointChain = (at: number, which: number): string => `endpoint-${at}-${which}`

function chainsOf(size: Size): string {
  const all = Array.from({ length: size.services }, (_, at) => at)
  const chains = all.flatMap((at) => [
    ...endpointsOf(at, size).map((address, which) => `  chain ${endpointChain(at, which)} {\n    ip saddr ${address} meta mark set meta mark | 0x4000\n    meta l4proto tcp dnat to ${address}:8080\n  }\n`),
    `  chain service-${at} {\n    numgen random mod ${size.endpoints} vmap { ${Array.from({ length: size.endpoints }, (__, which) => `${which} : goto ${endpointChain(at, which)}`).join(', ')} }\n  }\n`,
  ])
  const elements = all.map((at) => `${clusterIP(at)} . tcp . 80 : goto service-${at}`).join(', ')
  return `table ip peer {\n${chains.join('')}  map service-ips {\n    type ipv4_addr . inet_proto . inet_service : verdict\n    elements = { ${elements} }\n  }\n`
    + '  chain prerouting {\n    type nat hook prerouting priority dstnat;\n    ip daddr . meta l4proto . th dport vmap @service-ips\n  }\n}\n'
}
