/**
 * Many attachments at the same time, while plugins, the resident part and the engine are killed. `FAIRWAY_SOAK=10000` is the full size
 * (docs/cni-conformance.md has its result), `FAIRWAY_SOAK_SEED` repeats a run.
 */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { addressOf, leftovers, makeHost, nothing } from './test-support/host.ts'
import type { TestHost } from './test-support/host.ts'

if (process.getuid?.() !== 0) {
  t.plan(0, 'attachments under kill -9: needs root')
  process.exit()
}

const total = Number(process.env['FAIRWAY_SOAK'] ?? 120)
const seed = Number(process.env['FAIRWAY_SOAK_SEED'] ?? Date.now() % 1_000_000)
t.setTimeout(120_000 + total * 500)
const inFlight = 32
/** Containers between two deaths of the resident part. Until it is back each plugin is a Node of its own, some 30 of them on the machine's cores. */
const restartEvery = Math.max(60, Math.round(total / 40))
const both = ['10.244.0.0/22', 'fd00:10:244::/64']

/** mulberry32: the same seed, the same run (as far as the machine's own timing lets it be the same). */
let state = seed
function random(): number {
  state = (state + 0x6d2b79f5) | 0
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
}

/** An engine, as far as it is one: what it believes to be attached, and what it began to remove. */
class Engine {
  readonly #host: TestHost
  /** By address, the attachment that has it. */
  readonly live = new Map<string, string>()
  readonly problems: string[] = []
  readonly counts = { added: 0, refused: 0, killed: 0, forgotten: 0, restarts: 0 }
  #next = 0

  constructor(host: TestHost) {
    this.#host = host
  }

  config(slot: number): Record<string, unknown> {
    // every third has ports, every fifth leaves under the host's address
    return this.#host.config({
      ...(slot % 5 === 0 ? { ipMasq: true } : {}),
      runtimeConfig: slot % 3 === 0 ? { portMappings: [{ hostPort: 1000 + slot, containerPort: 80 }, { hostPort: 1000 + slot, containerPort: 80, protocol: 'udp' }] } : {},
    }, both)
  }

  /** One container after another in one place, until all were made. */
  async work(slot: number): Promise<void> {
    // a plugin whose caller was killed may still be at work: no path of a namespace is used for another
    let pod = `slot${slot}`
    this.#host.addPod(pod)
    const renew = (id: string): void => {
      this.#host.removePod(pod)
      pod = `${id}-and-on`
      this.#host.addPod(pod)
    }
    while (this.#next < total) {
      const id = `c${this.#next++}`
      const address = await this.#attach(id, pod, slot)
      const place = pod
      if (random() < 0.05) renew(id)
      // an engine that was killed has forgotten what it did; its next life asks for GC only
      if (random() < 0.03) {
        this.counts.forgotten++
        if (address !== undefined) this.live.set(address, 'forgotten')
        if (pod === place) renew(id)
      } else {
        await this.#detach(id, place, slot, address)
      }
    }
  }

  /** The address, where the engine heard of one. */
  async #attach(id: string, pod: string, slot: number): Promise<string | undefined> {
    if (random() < 0.1) {
      await this.#killed('ADD', id, pod, slot)
      return undefined
    }
    const answer = await this.#host.cni({ command: 'ADD', containerId: id, netns: this.#host.podPath(pod), ifname: 'eth0', config: this.config(slot) })
    if (answer.status !== 0) {
      // a port that a forgotten container of this slot has, or a resident part that was killed: both say so
      this.counts.refused++
      if (![105, 11].includes(Number(answer.object['code']))) this.problems.push(`ADD ${id}: ${answer.stdout} ${answer.stderr}`)
      return undefined
    }
    this.counts.added++
    const address = addressOf(answer)
    const holder = this.live.get(address)
    if (holder !== undefined) this.problems.push(`${address} was given to ${id} while ${holder} has it`)
    this.live.set(address, id)
    return address
  }

  async #detach(id: string, pod: string, slot: number, address: string | undefined): Promise<void> {
    if (address !== undefined) this.live.delete(address)
    if (random() < 0.1) await this.#killed('DEL', id, pod, slot)
    for (let attempt = 0; attempt < 5; attempt++) {
      const answer = await this.#host.cni({ command: 'DEL', containerId: id, netns: this.#host.podPath(pod), ifname: 'eth0', config: this.config(slot) })
      if (answer.status === 0) return
      if (answer.object['code'] !== 11) this.problems.push(`DEL ${id}: ${answer.stdout} ${answer.stderr}`)
    }
  }

  async #killed(command: string, id: string, pod: string, slot: number): Promise<void> {
    this.counts.killed++
    const env = { PATH: process.env['PATH'], CNI_COMMAND: command, CNI_CONTAINERID: id, CNI_NETNS: this.#host.podPath(pod), CNI_IFNAME: 'eth0', CNI_PATH: this.#host.binDir }
    const child = spawn('nsenter', [`--net=${this.#host.pathOf(undefined)}`, join(this.#host.binDir, 'fairway')], { env, stdio: ['pipe', 'ignore', 'ignore'] })
    const ended = new Promise((resolve) => child.on('close', resolve))
    child.stdin.on('error', () => child.kill('SIGKILL'))
    child.stdin.end(JSON.stringify(this.config(slot)))
    await sleep(random() * 30)
    child.kill('SIGKILL')
    await ended
  }

  /** Kills the resident part from time to time, until all containers were made. */
  async restartService(): Promise<void> {
    for (let next = restartEvery; next < total; next += restartEvery) {
      while (this.#next < next) await sleep(10)
      await sleep(random() * 100)
      this.counts.restarts++
      await this.#host.stopServing('SIGKILL')
      await this.#host.serve()
    }
  }
}

t.test(`${total} containers, ${inFlight} at a time, seed ${seed}`, { timeout: 60_000 + total * 500 }, async (t) => {
  using host = await makeHost('resident')
  const engine = new Engine(host)
  const began = performance.now()
  await Promise.all([...Array.from({ length: inFlight }, (_, slot) => engine.work(slot)), engine.restartService()])
  t.comment(`${((performance.now() - began) / 1000).toFixed(0)} s: ${JSON.stringify(engine.counts)}`)
  t.strictSame(engine.problems.slice(0, 10), [])
  const still = leftovers(host).addresses.filter((address) => !address.includes(':'))
  t.strictSame([...engine.live.keys()].filter((address) => !still.includes(address)), [], 'what was forgotten keeps its address until GC')
  t.match(await host.cni({ command: 'GC', config: host.config({ 'cni.dev/valid-attachments': [] }, both) }), { status: 0, stdout: '' })
  t.strictSame(leftovers(host), nothing)
  const { stdout } = await host.run(undefined, 'sh', '-c', 'ip -br link; ip rule; ip route show proto 70')
  t.match(stdout.split('\n').filter((line) => /fw|10\.244|0x6/.test(line)), [])
})

t.test('the machine starts again: namespaces and memory file systems are gone, the journal is not', async (t) => {
  using host = await makeHost('resident')
  const config = host.config({ runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80 }] } }, ['10.244.0.0/29'])
  const bare = host.config({}, ['10.244.0.0/29'])
  for (const name of ['a', 'b']) host.addPod(name)
  t.match([await host.add('a', config), await host.add('b', bare)], [{ status: 0 }, { status: 0 }])
  await host.reboot()
  for (const name of ['c', 'd']) host.addPod(name)
  // before the engine has cleaned up after the containers of the earlier life
  t.match(await host.add('c', config), { status: 0 }, 'the port is free again')
  t.match(await host.del('a', config), { status: 0 })
  t.match(leftovers(host).elements.filter((element) => element.startsWith('port')), ['port tcp 8080'], 'DEL of a container of the earlier life takes nothing from a later one')
  t.match(await host.cni({ command: 'GC', config: { ...bare, 'cni.dev/valid-attachments': [{ containerID: 'c', ifname: 'eth0' }] } }), { status: 0 })
  t.match(leftovers(host), { links: { length: 1 }, addresses: { length: 1 }, records: { length: 1 } })
  t.match(await host.add('d', bare), { status: 0 })
  t.match([await host.del('c', config), await host.del('d', bare)], [{ status: 0 }, { status: 0 }])
  t.strictSame(leftovers(host), nothing)
})
