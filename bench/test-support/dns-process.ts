/** `fairway dns` as it runs on every host, with a snapshot of a cluster and an API server that cannot be reached. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { renderKubeconfig } from '../../api/kubeconfig.ts'

const program = new URL('../../cli/main.ts', import.meta.url).pathname

export interface DnsProcessOptions {
  readonly folder: string
  readonly port: number
  readonly snapshot: string
  readonly upstream?: string
  /** The processor that it runs on; any when left out. */
  readonly processor?: number
}

export function startDnsProcess({ folder, port, snapshot, upstream, processor }: DnsProcessOptions): ChildProcess {
  const kubeconfig = join(folder, 'kubeconfig')
  writeFileSync(kubeconfig, renderKubeconfig({ clusterName: 'none', config: { server: 'https://127.0.0.1:1', token: 'none' } }))
  const flags = ['dns', '--kubeconfig', kubeconfig, '--zone', 'cluster.local', '--listen', `127.0.0.1:${port}`, '--snapshot', snapshot, ...(upstream === undefined ? [] : ['--upstream', upstream])]
  const command = [process.execPath, program, ...flags]
  const [first = '', ...rest] = processor === undefined ? command : ['taskset', '-c', String(processor), ...command]
  // What is compiled is kept, as `./fairway` has it.
  return spawn(first, rest, { stdio: 'ignore', env: { ...process.env, NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'] ?? join(folder, 'compile-cache') } })
}

export function residentMiB({ pid }: ChildProcess): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
}

/** Of all its threads, in the kernel and outside: fields 14 and 15 of proc(5)'s stat, in hundredths. */
export function processorSeconds({ pid }: ChildProcess): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) / 100
}

export async function end(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  await ended
}

/** Asks by UDP: the bytes of a good answer, or undefined when none comes in time. */
export function answer(port: number, name: string, type: number, timeoutMs: number): Promise<Buffer | undefined> {
  const labels = name.split('.').map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]))
  const query = Buffer.concat([Buffer.from([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]), ...labels, Buffer.from([0, 0, type, 0, 1])])
  const socket = createSocket('udp4')
  return new Promise<Buffer | undefined>((resolve) => {
    const timer = setTimeout(() => resolve(undefined), timeoutMs)
    socket.on('error', () => resolve(undefined)).on('message', (bytes) => {
      clearTimeout(timer)
      resolve(((bytes[3] ?? 0) & 0xf) === 0 ? bytes : undefined)
    })
    socket.send(query, port, '127.0.0.1')
  }).finally(() => socket.close())
}

/** Resolves once a server answers for a name. */
export async function answering(port: number, name: string): Promise<void> {
  for (let attempt = 0; attempt < 1000; attempt += 1) {
    if (await answer(port, name, 1, 100) !== undefined) return
    await sleep(2)
  }
  throw new Error(`Cannot measure: nobody answers at port ${port}`)
}

/** Runs a DNS server once and ends it, so that what it compiles is there for those that are measured. */
export async function warmCompileCache(options: DnsProcessOptions, name: string): Promise<void> {
  const child = startDnsProcess(options)
  await answering(options.port, name)
  // What was compiled is written a while after the start, and at the end.
  await sleep(3000)
  await end(child)
}

