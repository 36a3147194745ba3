/**
 * What a size costs: resident memory and time to the first answer (from the process's start) from a snapshot on disk, time to ready from a list, and
 * from a change in the API to the changed answer over UDP, by the number of services, each with a slice of two endpoints.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { saveSnapshot } from '../dns/snapshot.ts'
import { sizedCluster } from './test-support/dns-cluster.ts'
import { answer, answering, end, residentMiB, startDnsProcess, warmCompileCache } from './test-support/dns-process.ts'
import { spread } from './run.ts'
import type { Figure } from './run.ts'

const sizes = [1000, 10_000, 50_000]
const first = 'svc-1.default.svc.cluster.local'
const types = { A: 1, AAAA: 28 } as const
const program = new URL('test-support/dns-size-server.ts', import.meta.url).pathname
const port = 5357

export async function bench(): Promise<Figure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'fairway-dns-size-'))
  const figures: Figure[] = []
  try {
    for (const size of sizes) {
      const snapshot = join(folder, `${size}.snapshot`)
      await saveSnapshot(snapshot, { zone: 'cluster.local.', currentAt: Date.now(), objects: sizedCluster(size) })
      if (size === sizes[0]) await warmCompileCache({ folder, port, snapshot }, first)
      const served = await fromSnapshot({ folder, port, snapshot }, size)
      const listed = await fromList(size)
      figures.push(
        { name: `${size} services from a snapshot`, unit: 'ms from process start to the first answer, MiB', values: served },
        { name: `${size} services from a list`, unit: 'ms from start to ready', values: { readyMs: listed.readyMs } },
        { name: `${size} services, change to answer`, unit: 'ms', values: spread(listed.changesMs) },
      )
    }
    return figures
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** As a resolver does, every name is asked for in both families. */
async function fromSnapshot(options: { readonly folder: string; readonly port: number; readonly snapshot: string }, size: number): Promise<Record<'firstAnswerMs' | 'residentMiB' | 'residentMiBAfterAllA' | 'residentMiBAfterAllAAAA', number>> {
  const began = performance.now()
  const child = startDnsProcess(options)
  try {
    await answering(port, first)
    const firstAnswerMs = performance.now() - began
    const afterFirst = residentMiB(child)
    const all = async (type: number): Promise<number> => {
      for (let n = 0; n < size; n += 1) await answer(port, `svc-${n}.default.svc.cluster.local`, type, 1000)
      return residentMiB(child)
    }
    return { firstAnswerMs, residentMiB: afterFirst, residentMiBAfterAllA: await all(types.A), residentMiBAfterAllAAAA: await all(types.AAAA) }
  } finally {
    await end(child)
  }
}

/** The child measures itself: it has the API that changes. */
async function fromList(size: number): Promise<{ readyMs: number; changesMs: number[] }> {
  const child = spawn(process.execPath, [program, String(port), String(size)], { stdio: ['ignore', 'pipe', 'inherit'] })
  for await (const line of createInterface({ input: child.stdout })) return JSON.parse(line) as { readyMs: number; changesMs: number[] }
  throw new Error('Cannot measure: the server ended')
}
