/**
 * The proxy's cold start and one change, from the API's objects to the kernel, beside the same services as one chain for each service
 * and endpoint (what kube-proxy's nftables mode writes) loaded by `nft -f`. Each size has a network namespace of its own.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../api/clock.ts'
import { createLogger } from '../api/log.ts'
import { Netns } from '../netlink/netns.ts'
import { openNftables } from '../netlink/nftables/index.ts'
import { startProxy } from '../proxy/index.ts'
import { SmallApi } from '../proxy/test-support/api.ts'
import { service, slice } from '../proxy/test-support/objects.ts'
import { spread } from './run.ts'
import type { Figure } from './run.ts'

const sizes = [100, 1_000, 10_000]
/** One change after another, each waited for. */
const changes = 100
/** A peer's load of more is minutes. */
const peerChanges = 5

const clusterIP = (at: number): string => `10.${96 + (at >> 16)}.${(at >> 8) & 255}.${at & 255}`
const endpointsOf = (at: number, turn = 0): string[] => [0, 1].map((which) => `10.${128 + which}.${((at + turn) >> 8) & 255}.${(at + turn) & 255}`)

export async function bench(): Promise<Figure[]> {
  const figures: Figure[] = []
  for (const size of sizes) figures.push(...await inNamespace((netns) => benchProxy(netns, size)), ...await inNamespace((netns, path) => benchChains(netns, path, size)))
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

async function benchProxy(netns: Netns, size: number): Promise<Figure[]> {
  const api = new SmallApi()
  for (let at = 0; at < size; at += 1) {
    api.putService(service(`s${at}`, { clusterIP: clusterIP(at) }))
    api.putSlice(slice(`s${at}`, endpointsOf(at)))
  }
  const options = { client: api.client, nodeName: 'node-1', netns, clock: systemClock, random: Math.random, healthzBindAddress: 'none', log: createLogger({ level: 'warn' }) }
  const cold = await timed(async () => (await startProxy(options)).stop())
  const began = performance.now()
  const proxy = await startProxy(options)
  const restart = performance.now() - began
  using nftables = openNftables({ netns })
  const samples: number[] = []
  for (let turn = 1; turn <= changes; turn += 1) {
    const at = (turn * 37) % size
    const generation = nftables.generation()
    samples.push(await timed(async () => {
      api.putSlice(slice(`s${at}`, endpointsOf(at, turn)))
      while (nftables.generation() === generation) await new Promise((resolve) => setImmediate(resolve))
    }))
  }
  await proxy.stop()
  return [
    { name: `${size} services: cold start`, unit: 'ms', values: { fairway: cold, restart } },
    { name: `${size} services: one change to the kernel`, unit: 'ms', values: spread(samples) },
  ]
}

function benchChains(netns: Netns, path: string, size: number): Figure[] {
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
    const at = (turn * 37) % size
    samples.push(nft(endpointsOf(at).map((_, which) => `flush chain ip peer ${endpointChain(at, which)}\nadd rule ip peer ${endpointChain(at, which)} meta l4proto tcp dnat to ${endpointsOf(at, turn)[which]}:8080\n`).join('')))
  }
  void netns
  return [
    { name: `${size} services: cold start as chains by nft -f`, unit: 'ms', values: { nft: cold } },
    { name: `${size} services: one change of chains by nft -f`, unit: 'ms', values: spread(samples) },
  ]
}

const endpointChain = (at: number, which: number): string => `endpoint-${at}-${which}`

function chainsOf(size: number): string {
  const all = Array.from({ length: size }, (_, at) => at)
  const chains = all.flatMap((at) => [
    ...endpointsOf(at).map((address, which) => `  chain ${endpointChain(at, which)} {\n    ip saddr ${address} meta mark set meta mark | 0x4000\n    meta l4proto tcp dnat to ${address}:8080\n  }\n`),
    `  chain service-${at} {\n    numgen random mod 2 vmap { 0 : goto ${endpointChain(at, 0)}, 1 : goto ${endpointChain(at, 1)} }\n  }\n`,
  ])
  const elements = all.map((at) => `${clusterIP(at)} . tcp . 80 : goto service-${at}`).join(', ')
  return `table ip peer {\n${chains.join('')}  map service-ips {\n    type ipv4_addr . inet_proto . inet_service : verdict\n    elements = { ${elements} }\n  }\n`
    + '  chain prerouting {\n    type nat hook prerouting priority dstnat;\n    ip daddr . meta l4proto . th dport vmap @service-ips\n  }\n}\n'
}

async function timed(work: () => Promise<void>): Promise<number> {
  const began = performance.now()
  await work()
  return performance.now() - began
}
