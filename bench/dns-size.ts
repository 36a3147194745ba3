/**
 * What a size costs: resident memory and time to the first answer (from the process's start) from a snapshot on disk, time to ready from a list, and
 * from a change in the API to the changed answer over UDP, by the number of services, each with a slice of two endpoints.
 */
import { spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { saveSnapshot } from '../dns/snapshot.ts'
import { sizedCluster } from './test-support/dns-cluster.ts'
import { spread } from './run.ts'
import type { Figure } from './run.ts'

const sizes = [1000, 10_000, 50_000]
const program = new URL('test-support/dns-size-server.ts', import.meta.url).pathname
const port = 5357

export async function bench(): Promise<Figure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'fairway-dns-size-'))
  const figures: Figure[] = []
  try {
    for (const size of sizes) {
      const snapshot = join(folder, `${size}.snapshot`)
      await saveSnapshot(snapshot, { zone: 'cluster.local.', currentAt: Date.now(), objects: sizedCluster(size) })
      const { firstAnswerMs, residentMiB, residentMiBAfterAll } = await fromSnapshot(snapshot, size)
      const listed = await fromList(size)
      figures.push(
        { name: `${size} services from a snapshot`, unit: 'ms from process start to the first answer, MiB', values: { firstAnswerMs, residentMiB, residentMiBAfterAll } },
        { name: `${size} services from a list`, unit: 'ms from start to ready', values: { readyMs: listed.readyMs } },
        { name: `${size} services, change to answer`, unit: 'ms', values: spread(listed.changesMs) },
      )
    }
    return figures
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function fromSnapshot(snapshot: string, size: number): Promise<{ firstAnswerMs: number; residentMiB: number; residentMiBAfterAll: number }> {
  const began = performance.now()
  const child = spawn(process.execPath, [program, 'snapshot', String(port), snapshot], { stdio: 'ignore' })
  try {
    while (await answer(`svc-1.default.svc.cluster.local`, 100) === undefined);
    const firstAnswerMs = performance.now() - began
    const resident = (): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) / 1024
    const residentMiB = resident()
    for (let n = 0; n < size; n += 1) await answer(`svc-${n}.default.svc.cluster.local`, 1000)
    return { firstAnswerMs, residentMiB, residentMiBAfterAll: resident() }
  } finally {
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await ended
  }
}

/** The child measures itself: it has the API that changes. */
async function fromList(size: number): Promise<{ readyMs: number; changesMs: number[] }> {
  const child = spawn(process.execPath, [program, 'list', String(port), String(size)], { stdio: ['ignore', 'pipe', 'inherit'] })
  for await (const line of createInterface({ input: child.stdout })) return JSON.parse(line) as { readyMs: number; changesMs: number[] }
  throw new Error('Cannot measure: the server ended')
}

/** The first bytes of an answer, or undefined when none comes in time. */
function answer(name: string, timeoutMs: number): Promise<Buffer | undefined> {
  const labels = name.split('.').map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]))
  const query = Buffer.concat([Buffer.from([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]), ...labels, Buffer.from([0, 0, 1, 0, 1])])
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
