// etcd for a test: members of a cluster of its own, in a folder of the test's.
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'

export const hasEtcd = existsSync('/usr/bin/etcd')

export interface Member {
  readonly url: string
  readonly process: ChildProcess
  /** SIGKILL, and what was acknowledged must be there all the same. */
  kill(): Promise<void>
  /** Starts it again with the same data, after `kill`. */
  start(): Promise<void>
}

/** Starts `count` members; `flags` are etcd's own. They end with `stop` of each. */
export async function startEtcd(folder: string, count = 1, flags: readonly string[] = []): Promise<Member[]> {
  const ports = await freePorts(2 * count)
  const peers = Array.from({ length: count }, (_, i) => `m${i}=http://127.0.0.1:${ports[count + i]}`).join()
  const members = Array.from({ length: count }, (_, i) => member(folder, i, ports[i] as number, ports[count + i] as number, [...flags, '--initial-cluster', peers]))
  await Promise.all(members.map((one) => one.start()))
  return members
}

function member(folder: string, i: number, port: number, peerPort: number, flags: readonly string[]): Member {
  const scheme = flags.includes('--cert-file') ? 'https' : 'http'
  const [url, peerUrl] = [`${scheme}://127.0.0.1:${port}`, `http://127.0.0.1:${peerPort}`]
  let child: ChildProcess
  return {
    url,
    get process() {
      return child
    },
    async start() {
      child = spawn('/usr/bin/etcd', ['--name', `m${i}`, '--data-dir', join(folder, `m${i}`), '--listen-client-urls', url, '--advertise-client-urls', url,
        '--listen-peer-urls', peerUrl, '--initial-advertise-peer-urls', peerUrl, '--logger', 'zap', '--log-level', 'error', ...flags], { stdio: 'ignore' })
      await listening(port, child)
    },
    async kill() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const gone = once(child, 'exit')
      child.kill('SIGKILL')
      await gone
    },
  }
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => void server.close(resolve))))
  return ports
}

/** Until the member takes connections, which it does once it serves. */
async function listening(port: number, child: ChildProcess): Promise<void> {
  for (let attempt = 0; attempt < 600; attempt++) {
    if (child.exitCode !== null) throw new Error(`Cannot start etcd: it ended with ${child.exitCode}`)
    const socket = connect(port, '127.0.0.1')
    const isThere = await new Promise<boolean>((resolve) => void socket.once('connect', () => resolve(true)).once('error', () => resolve(false)))
    socket.destroy()
    if (isThere) return
    await new Promise((resolve) => void setTimeout(resolve, 25))
  }
  throw new Error('Cannot start etcd: it does not answer')
}
