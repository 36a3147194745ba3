/** The kubelet: makes the pods that the API server binds to this node run, and says how they are. */
import { mkdirSync } from 'node:fs'
import type { Component } from '../api/component.ts'
import { EventRecorder } from '../api/events.ts'
import { InformerSet } from '../api/informer-set.ts'
import type { Informer } from '../api/informer.ts'
import { nodes, pods, services } from '../api/resources.ts'
import type { Pod, Service } from '../api/types.ts'
import { PodNetwork } from './network/pod-network.ts'
import { LeaseKeeper } from './node/lease.ts'
import { readMachine } from './node/machine.ts'
import { Registration } from './node/registration.ts'
import { eventTarget } from './options.ts'
import type { Health, KubeletOptions, KubeletParts } from './options.ts'
import { PodWorkers } from './pods/workers.ts'
import { runHandler } from './probes/handler.ts'
import { Prober } from './probes/prober.ts'
import { followEngine } from './runtime/follow.ts'
import { startServer } from './server/index.ts'
import type { KubeletServer } from './server/index.ts'
import { ObjectSource } from './sources/objects.ts'
import { TokenSource } from './sources/tokens.ts'
import { StatusWriter } from './status/status-writer.ts'
import { ensureTmpfs } from './volumes/mounts.ts'
import { PodDirectories } from './volumes/pod-directory.ts'

export { createDockerRuntime } from './runtime/docker.ts'
export type { KubeletOptions } from './options.ts'

/** What the engine did not tell of is found after this long. */
const relistMs = 30_000
/** How long the last events may take to be written. */
const flushMs = 1000
const podsOfNode = 'uid'

/**
 * Starts a kubelet; resolves once it registers its node and listens. Pods are taken up as soon as the engine answers and the first list of
 * pods is in; an API server or engine that goes away is waited for, and pods go on meanwhile. `stop` leaves pods running.
 */
export async function startKubelet(options: KubeletOptions): Promise<Component> {
  const kubelet = new Kubelet(options)
  await kubelet.start()
  return kubelet
}

class Kubelet implements Component {
  readonly done: Promise<void>
  readonly #options: KubeletOptions
  readonly #abort = new AbortController()
  readonly #health: Health = { runtimeError: 'the container engine has not answered yet', networkError: 'it has not been looked at yet' }
  readonly #informers: InformerSet
  readonly #pods: Informer<Pod>
  readonly #services: Informer<Service>
  readonly #parts: KubeletParts
  readonly #prober: Prober
  readonly #statuses: StatusWriter
  readonly #workers: PodWorkers
  readonly #registration: Registration
  readonly #lease: LeaseKeeper
  #server: KubeletServer | undefined
  #running: Promise<unknown> = Promise.resolve()
  #resolveDone: () => void

  constructor(options: KubeletOptions) {
    this.#options = options
    const { client, clock, random, log, nodeName, runtime, dataDir, cni } = options
    mkdirSync(dataDir, { recursive: true, mode: 0o750 })
    this.#informers = new InformerSet(client, { clock, random, log })
    this.#pods = this.#informers.informer(pods, { fieldSelector: `spec.nodeName=${nodeName}` })
    this.#pods.addIndex(podsOfNode, ({ metadata }) => [metadata.uid ?? ''])
    this.#services = this.#informers.informer(services)
    const network = new PodNetwork({ ...cni, clock })
    const machine = readMachine(dataDir, options.podsMax ?? 110)
    this.#parts = {
      options, runtime, network, machine,
      health: this.#health,
      directories: new PodDirectories(dataDir),
      events: new EventRecorder({ client, clock, log, component: 'kubelet', host: nodeName }),
      objects: new ObjectSource({ client, clock, random, log, changed: (uid) => this.#workers.wake(uid) }),
      tokens: new TokenSource(client, clock),
      services: () => this.#services.list(),
    }
    this.#prober = this.#makeProber()
    this.#statuses = new StatusWriter({ client, clock, random, log, current: (uid) => this.#pods.byIndex(podsOfNode, uid)[0] })
    this.#workers = new PodWorkers({ parts: this.#parts, prober: this.#prober, statuses: this.#statuses })
    this.#registration = new Registration({
      options, machine, network, health: this.#health, informer: this.#informers.informer(nodes, { fieldSelector: `metadata.name=${nodeName}` }),
      port: () => this.#server?.port, networkReady: () => this.#workers.wakeAll(),
    })
    this.#lease = new LeaseKeeper(options)
    const { promise, resolve } = Promise.withResolvers<void>()
    this.done = promise
    this.#resolveDone = resolve
  }

  async start(): Promise<void> {
    await ensureTmpfs(this.#parts.directories.memory(), { mode: '0755' })
    const { server: listen } = this.#options
    if (listen !== undefined) {
      this.#server = await startServer({ kubelet: this.#options, listen, pod: (namespace, name) => this.#pods.get(namespace, name), pods: () => this.#pods.list() })
    }
    this.#informers.start()
    this.#registration.start()
    this.#lease.start()
    this.#running = Promise.all([this.#followEngine(), this.#relistNowAndThen()])
  }

  async stop(): Promise<void> {
    this.#abort.abort(new Error('the kubelet was stopped'))
    this.#informers.stop()
    await Promise.all([this.#server?.stop(), this.#statuses.stop(), this.#workers.stop(), this.#registration.stop(), this.#lease.stop()])
    await this.#running
    // Last, as the workers begin probes and watches.
    this.#parts.objects.stop()
    this.#prober.stop()
    // Events that nobody takes are not waited for.
    await Promise.race([this.#parts.events.flush(), this.#options.clock.sleep(flushMs)])
    this.#resolveDone()
  }

  #makeProber(): Prober {
    const { runtime, clock } = this.#options
    return new Prober({
      clock,
      run: ({ container, containerId, podIP }, probe, timeoutMs) => runHandler(probe, { container, containerId, podIP }, timeoutMs, { runtime, clock }),
      changed: (uid) => this.#workers.wake(uid),
      failed: ({ pod, container }, kind, output) => {
        const [first = '', ...rest] = kind
        this.#parts.events.event(eventTarget(pod, container.name), 'Warning', 'Unhealthy', `${first.toUpperCase()}${rest.join('')} probe failed: ${output}`)
      },
    })
  }

  #followEngine(): Promise<void> {
    const { runtime, clock, log } = this.#options
    let takenUp: Promise<void> | undefined
    return followEngine({
      runtime, clock, log, signal: this.#abort.signal,
      up: async (version) => {
        this.#health.runtimeError = undefined
        this.#registration.engineIsUp(version)
        await (takenUp ??= this.#takeUp())
        await this.#workers.relist()
        this.#workers.wakeAll()
      },
      down: (error) => {
        this.#health.runtimeError = error.message
        this.#registration.wake()
      },
      happened: ({ podUid }) => this.#workers.wake(podUid),
    })
  }

  /** Begins with the pods, once it is known which ones there are to be. */
  async #takeUp(): Promise<void> {
    await Promise.all([this.#pods.synced, this.#services.synced])
    this.#pods.onChange(({ old, new: pod }) => {
      if (old !== undefined && old.metadata.uid !== pod?.metadata.uid) this.#workers.remove(old)
      if (pod !== undefined) this.#workers.put(pod)
    })
    await this.#collectNetwork()
  }

  /** Gives back what sandboxes that are no more still hold of the network. */
  async #collectNetwork(): Promise<void> {
    const { network } = this.#parts
    try {
      const sandboxes = await this.#options.runtime.listSandboxes()
      await network.collect(sandboxes.map(({ id }) => id))
    } catch (error) {
      this.#options.log.info('left the network uncollected', { error })
    }
  }

  async #relistNowAndThen(): Promise<void> {
    const { clock, log } = this.#options
    const { signal } = this.#abort
    while (!signal.aborted) {
      await clock.sleep(relistMs, signal).catch((error: unknown) => error)
      if (signal.aborted || this.#health.runtimeError !== undefined || !this.#pods.hasSynced()) continue
      try {
        await this.#workers.relist()
      } catch (error) {
        log.warn('cannot list what the container engine runs', { error })
      }
    }
  }
}
