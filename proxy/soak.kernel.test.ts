/**
 * Restarts by `kill -9` and changes of other endpoints under load: nobody notices. And UDP clients that keep their ports leave a removed endpoint.
 * `PROXY_SOAK=full` makes it 1,000 open and 2,000 new connections a second, 100 restarts and 1,000 changes.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import { systemClock } from '../api/clock.ts'
import type { Node } from '../api/types.ts'
import type { LoadCommand, LoadResult, UdpState } from './test-support/load.ts'
import { makeNetwork } from './test-support/network.ts'
import { service, slice } from './test-support/objects.ts'
import type { Given } from './test-support/proxy-process.ts'

if (process.getuid?.() !== 0) {
  t.plan(0, 'restarts under load: needs root')
  process.exit()
}

t.setTimeout(3_600_000)
const full = process.env['PROXY_SOAK'] === 'full'
const { open, perSecond, restarts, changes } = full ? { open: 1000, perSecond: 2000, restarts: 100, changes: 1000 } : { open: 100, perSecond: 200, restarts: 4, changes: 40 }
/** What is asked for. */
const udpMoveMsMax = 1000

const node: Node = { metadata: { name: 'node-1' }, spec: { podCIDRs: ['10.244.0.0/24'] }, status: { addresses: [{ type: 'InternalIP', address: '192.0.2.1' }] } }
const network = await makeNetwork()
const children: ChildProcess[] = []
t.teardown(async () => {
  await Promise.all(children.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null).map(async (child) => {
    child.disconnect()
    await once(child, 'exit')
  }))
  await network[Symbol.asyncDispose]()
})

function run(space: string, file: string): ChildProcess {
  const child = spawn('nsenter', [`--net=${network.path(space)}`, process.execPath, new URL(`test-support/${file}`, import.meta.url).pathname], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], env: { PATH: process.env['PATH'] } })
  children.push(child)
  return child
}

async function ask<T>(child: ChildProcess, command: LoadCommand): Promise<T> {
  child.send(command)
  const [message] = (await once(child, 'message')) as [{ answer: T }]
  return message.answer
}

const [client, local, remote] = [run('pod-a', 'load.ts'), run('pod-b', 'load.ts'), run('node-2', 'load.ts')]
await Promise.all([
  ask(local, { kind: 'serve', port: 8080, name: 'local', udpAddress: '10.244.0.6' }),
  ask(remote, { kind: 'serve', port: 8080, name: 'remote', udpAddress: '10.244.1.5' }),
])

const udpPorts = [{ port: 53, protocol: 'UDP' as const }]
const udpSlice = (...endpoints: string[]) => slice('dns', endpoints, { ports: [{ port: 8080, protocol: 'UDP' }] })
const first: Given = {
  node,
  services: [service('web'), service('other', { clusterIP: '10.96.0.54' }), service('dns', { clusterIP: '10.96.0.55', ports: udpPorts })],
  slices: [slice('web', ['10.244.0.6', '10.244.1.5']), slice('other', ['10.244.1.9']), udpSlice('10.244.0.6', '10.244.1.5')],
}

async function started(given: Given): Promise<ChildProcess> {
  const child = run('host', 'proxy-process.ts')
  child.send(given)
  await once(child, 'message')
  return child
}

/** Changes that leave alone what is used: endpoints of another service, and such of this one that are not ready. */
function change(turn: number): Given {
  if (turn % 2 === 0) return { slices: [slice('other', Array.from({ length: turn % 5 }, (_, at) => `10.244.1.${100 + at + (turn % 50)}`))] }
  return { slices: [slice('web', ['10.244.0.6', '10.244.1.5', ...(turn % 4 === 1 ? [`!10.244.1.${100 + (turn % 100)}`] : [])])] }
}

let proxy = await started(first)

t.test(`${restarts} restarts and ${changes} changes under ${open} open and ${perSecond} new connections a second`, { timeout: 900_000 }, async (t) => {
  await ask(client, { kind: 'load', address: '10.96.0.53', port: 80, open, perSecond })
  const began = performance.now()
  for (let restart = 0; restart < restarts; restart += 1) {
    for (let turn = 0; turn < changes / restarts; turn += 1) {
      proxy.send(change(restart * (changes / restarts) + turn))
      await systemClock.sleep(5)
    }
    proxy.kill('SIGKILL')
    await once(proxy, 'exit')
    proxy = await started(first)
  }
  const seconds = (performance.now() - began) / 1000
  const result = await ask<LoadResult>(client, { kind: 'result' })
  t.strictSame(result.failures, {})
  t.equal(result.open, open)
  t.ok(result.connects > 0, `${result.connects} connections, ${Math.round(result.connects / seconds)} a second for ${Math.round(seconds)} s`)
})

t.test('UDP clients that keep their ports leave an endpoint within a second of its removal', async (t) => {
  await ask(client, { kind: 'udp', address: '10.96.0.55', port: 53, clients: 50, everyMs: 20 })
  await systemClock.sleep(500)
  const before = await ask<UdpState>(client, { kind: 'udpState' })
  t.strictSame([...new Set(before.map(({ server }) => server))].toSorted(), ['local', 'remote'])
  const removed = Date.now()
  proxy.send({ slices: [udpSlice('10.244.1.5')] } satisfies Given)
  await systemClock.sleep(udpMoveMsMax + 500)
  const after = await ask<UdpState>(client, { kind: 'udpState' })
  const moved = after.filter((_, at) => before[at]?.server === 'local')
  t.ok(after.every(({ server }) => server === 'remote'))
  const slowest = Math.max(...moved.map(({ since }) => since - removed))
  t.ok(slowest < udpMoveMsMax, `${moved.length} clients moved, the last after ${slowest} ms`)
})
