/**
 * The proxy's cold start and one change, from the API's objects to the kernel, beside the same services as one chain for each service
 * and endpoint (what kube-proxy's nftables mode writes) loaded by `nft -f`. Each size has a network namespace of its own.
 */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Netns } from '../netlink/netns.ts'
import { spread } from './run.ts'
import type { Figure } from './run.ts'
import { clusterIP, endpointsOf } from './test-support/proxy-sync-objects.ts'
import type { Measured } from './test-support/proxy-sync.ts'

const sizes: readonly Size[] = [{ services: 100, endpoints: 2 }, { services: 1_000, endpoints: 2 }, { services: 10_000, endpoints: 2 }, { services: 44_000, endpoints: 2 }, { services: 1_000, endpoints: 250 }]
/** The peer takes ever longer: 42 s for 10,000 services. */
const peerChainsMax = 30_000
/** A peer's load of more is minutes. */
const peerChanges = 5

interface Size {
  readonly services: number
  /** Of each. */
  readonly endpoints: number
}

const nameOf = ({ services, endpoints }: Size): string => `${services} services with ${endpoints} endpoints`

export async function bench(): Promise<Figure[]> {
  const figures: Figure[] = []
  for (const size of sizes) {
    figures.push(...await inNamespace((_, path) => benchProxy(path, size)))
    if (size.services * (size.endpoints + 1) <= peerChainsMax) figures.push(...await inNamespace((_, path) => benchChains(path, size)))
    else figures.push({ name: `${nameOf(size)}: cold start as chains by nft -f`, unit: 'not measured', values: {} })
  }
  return figures
}

async function inNamespace(measure: (netns: Netns, path: string) => Figure[] | Promise<Figure[]>): Promise<Figure[]> {
  const directory = mkdtempSync(join(tmpdir(), 'fairway-bench-'))
  const path = join(directory, 'netns')
  const netns = Netns.create(path)
  try {
    return await measure(netns, path)
  } finally {
    netns.close()
    Netns.delete(path)
    rmSync(directory, { recursive: true })
  }
}

/** In a process of its own, so that its memory is the proxy's and its objects'. */
async function benchProxy(path: string, size: Size): Promise<Figure[]> {
  const before = kernelMemoryMiB()
  const child = spawn(process.execPath, ['--expose-gc', new URL('test-support/proxy-sync.ts', import.meta.url).pathname, path, String(size.services), String(size.endpoints)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const [{ cold, coldProcessor, restart, samples, residentMiB, objectsMiB }] = (await once(child, 'message')) as [Measured]
  await once(child, 'exit')
  return [
    { name: `${nameOf(size)}: cold start`, unit: 'ms', values: { fairway: cold, 'of it processor': coldProcessor, restart } },
    { name: `${nameOf(size)}: one change to the kernel`, unit: 'ms', values: spread(samples) },
    { name: `${nameOf(size)}: memory`, unit: 'MiB', values: { resident: residentMiB, 'of it before the proxy began': objectsMiB, kernel: kernelMemoryMiB() - before } },
  ]
}

/** What the kernel holds for itself; others on the machine move it too. */
function kernelMemoryMiB(): number {
  const text = readFileSync('/proc/meminfo', 'utf8')
  const field = (name: string): number => Number(new RegExp(`^${name}: +(\\d+)`, 'm').exec(text)?.[1] ?? 0) / 1024
  return field('SUnreclaim') + field('Percpu') + field('VmallocUsed')
}

function benchChains(path: string, size: Size): Figure[] {
  const nft = (text: string): number => {
    const file = `${path}.nft`
    writeFileSync(file, text)
    const began = performance.now()
    execFileSync('nsenter', [`--net=${path}`, 'nft', '-f', file])
    return performance.now() - began
  }
  const cold = nft(chainsOf(size))
  const samples: number[] = []
  for (let turn = 1; turn <= peerChanges; turn += 1) {
    const at = (turn * 37) % size.services
    samples.push(nft(endpointsOf(at, size).map((_, which) => `flush chain ip peer ${endpointChain(at, which)}\nadd rule ip peer ${endpointChain(at, which)} meta l4proto tcp dnat to ${endpointsOf(at, { ...size, turn })[which]}:8080\n`).join('')))
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
