/** The processes of local clusters, found by the mark in their environment: true also after whoever started them was killed. */
import { readFileSync, readdirSync } from 'node:fs'

export interface HostProcess {
  /** As this machine counts. */
  readonly pid: number
  readonly cluster: string
  readonly host: string
  /** Whether it is the first process of the host's own process-id namespace: its end is the host's. */
  readonly isInit: boolean
}

const goneCodes = new Set(['ENOENT', 'ESRCH', 'EACCES', 'EPERM'])

function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch (error) {
    // It ended while we looked.
    if (goneCodes.has((error as NodeJS.ErrnoException).code ?? '')) return ''
    throw error
  }
}

/** Every process of a cluster, or of all clusters. */
export function hostProcesses(cluster?: string): HostProcess[] {
  const found: HostProcess[] = []
  for (const entry of readdirSync('/proc')) {
    const pid = Number(entry)
    if (!Number.isInteger(pid) || pid === process.pid) continue
    const environment = readProc(pid, 'environ').split('\0')
    const value = (name: string): string | undefined => environment.find((one) => one.startsWith(`${name}=`))?.slice(name.length + 1)
    const name = value('FAIRWAY_CLUSTER')
    const host = value('FAIRWAY_HOST')
    if (name === undefined || host === undefined || (cluster !== undefined && name !== cluster)) continue
    const namespaced = /^NSpid:\s+\d+\s+(\d+)$/m.exec(readProc(pid, 'status'))?.[1]
    found.push({ pid, cluster: name, host, isInit: namespaced === '1' })
  }
  return found
}

/** The first process of each host that lives, by host. */
export function hostInits(cluster: string): Map<string, number> {
  return new Map(hostProcesses(cluster).filter(({ isInit }) => isInit).map(({ host, pid }) => [host, pid]))
}

export function isAlive(pid: number): boolean {
  const state = /^State:\s+(\S)/m.exec(readProc(pid, 'status'))?.[1]
  return state !== undefined && state !== 'Z' && state !== 'X'
}

/** Sends a signal; a process that is gone already is fine. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
