/** Keeps the node's object as the host is: made where it is missing, mended where others wrote it, renewed from time to time. */
import { isAlreadyExists } from '../../api/client.ts'
import type { Informer } from '../../api/informer.ts'
import { nodes } from '../../api/resources.ts'
import type { Node, NodeSystemInfo } from '../../api/types.ts'
import { WorkQueue } from '../../api/work-queue.ts'
import type { PodNetwork } from '../network/pod-network.ts'
import type { Health, KubeletOptions } from '../options.ts'
import type { ImageStatus, RuntimeVersion } from '../runtime/runtime.ts'
import { readSystemInfo } from './machine.ts'
import type { Machine } from './machine.ts'
import { nodeStatusOf, nodeStatusPatch } from './node-status.ts'

export interface RegistrationOptions {
  readonly options: KubeletOptions
  readonly machine: Machine
  readonly network: PodNetwork
  readonly health: Health
  readonly informer: Informer<Node>
  /** Where the server listens; undefined while it does not. */
  readonly port: () => number | undefined
  /** Told when pods can be attached, after they could not. */
  readonly networkReady: () => void
}

/** The status is written anew after this long also when nothing has changed (--node-status-report-frequency). */
const heartbeatMs = 300_000
const checkMs = 20_000
/** Between two looks at a network that is not ready: the node is waited for. */
const unreadyCheckMs = 200
const imagesMs = 60_000
const key = 'node'
const unknownVersion: RuntimeVersion = { runtimeName: 'unknown', runtimeVersion: '', kernelVersion: '', osImage: '', architecture: process.arch === 'x64' ? 'amd64' : process.arch }

export class Registration {
  readonly #with: RegistrationOptions
  readonly #queue: WorkQueue
  readonly #labels: Readonly<Record<string, string>>
  #systemInfo: NodeSystemInfo
  #images: { readonly list: readonly ImageStatus[]; readonly atMs: number } = { list: [], atMs: -Infinity }
  #networkWatch: { close(): void } | undefined
  #engineIsUp = false

  constructor(options: RegistrationOptions) {
    this.#with = options
    const { options: { clock, random, log, nodeName, nodeLabels } } = options
    this.#systemInfo = readSystemInfo(unknownVersion)
    this.#labels = { 'kubernetes.io/hostname': nodeName, 'kubernetes.io/os': 'linux', 'kubernetes.io/arch': this.#systemInfo.architecture, ...nodeLabels }
    this.#queue = new WorkQueue({
      clock, random, backoff: { initialMs: 100, maxMs: 5000 },
      reconcile: () => this.#reconcile(),
      onError: (error) => log.warn('cannot write the node, trying again', { error }),
    })
  }

  start(): void {
    const { informer, network } = this.#with
    informer.onChange(() => this.wake())
    this.#networkWatch = network.onConfigurationChange(() => this.wake())
    this.wake()
  }

  wake(): void {
    this.#queue.add(key)
  }

  engineIsUp(version: RuntimeVersion): void {
    this.#engineIsUp = true
    this.#systemInfo = readSystemInfo(version)
    this.wake()
  }

  stop(): Promise<void> {
    this.#networkWatch?.close()
    return this.#queue.stop()
  }

  async #reconcile(): Promise<{ requeueAfterMs: number }> {
    const { health, informer } = this.#with
    await this.#checkNetwork()
    await informer.synced
    const node = informer.get(undefined, this.#with.options.nodeName)
    if (node === undefined) await this.#create()
    else await this.#update(node)
    return { requeueAfterMs: health.networkError === undefined ? checkMs : unreadyCheckMs }
  }

  async #checkNetwork(): Promise<void> {
    const { network, health, networkReady, options: { runtime } } = this.#with
    const status = runtime.networkedBy === 'runtime' ? { ready: true as const } : await network.status()
    const before = health.networkError
    health.networkError = status.ready ? undefined : status.reason
    if (before !== undefined && status.ready) networkReady()
  }

  /** The watch brings the object, and with it the status. */
  async #create(): Promise<void> {
    const { client, nodeName } = this.#with.options
    try {
      await client.create(nodes, { apiVersion: 'v1', kind: 'Node', metadata: { name: nodeName, labels: { ...this.#labels } }, spec: {} })
    } catch (error) {
      if (!isAlreadyExists(error)) throw error
    }
  }

  async #update(node: Node): Promise<void> {
    const { options: { client, clock, nodeName, nodeAddresses }, machine, health, port } = this.#with
    const missing = Object.entries(this.#labels).filter(([name, value]) => node.metadata.labels?.[name] !== value)
    if (missing.length > 0) await client.patch(nodes, { name: nodeName }, { metadata: { labels: Object.fromEntries(missing) } }, { type: 'merge' })
    const before = node.status?.conditions ?? []
    const listensOn = port()
    const want = nodeStatusOf({
      nodeName, addresses: nodeAddresses, capacity: machine.capacity, systemInfo: this.#systemInfo, images: await this.#listImages(),
      ...(listensOn === undefined ? {} : { port: listensOn }), health, nowMs: clock.now(), before,
    })
    const last = Date.parse(before.find(({ type }) => type === 'Ready')?.lastHeartbeatTime ?? '1970-01-01T00:00:00Z')
    const patch = nodeStatusPatch(node, want, clock.now() - last >= heartbeatMs)
    if (patch !== undefined) await client.patch(nodes, { name: nodeName, subresource: 'status' }, { status: patch }, { type: 'strategic' })
  }

  async #listImages(): Promise<readonly ImageStatus[]> {
    const { clock, runtime } = this.#with.options
    if (this.#engineIsUp && this.#with.health.runtimeError === undefined && clock.monotonicMs() - this.#images.atMs >= imagesMs) {
      this.#images = { list: await runtime.listImages(), atMs: clock.monotonicMs() }
    }
    return this.#images.list
  }
}
