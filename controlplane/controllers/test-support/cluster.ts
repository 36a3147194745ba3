/** A control plane in one process, without a scheduler and with pretended kubelets: for tests of the controllers. */
import { Client, isConflict, isNotFound } from '../../../api/client.ts'
import { FakeClock } from '../../../api/clock.ts'
import type { Component } from '../../../api/component.ts'
import { Informer } from '../../../api/informer.ts'
import { silentLogger } from '../../../api/log.ts'
import { leases, nodes, pods } from '../../../api/resources.ts'
import type { Condition, Node, Pod, PodSpec, PodTemplateSpec } from '../../../api/types.ts'
import { startApiServer } from '../../apiserver/index.ts'
import { openMemoryStore } from '../../store/index.ts'
import { startControllers } from '../index.ts'
import type { ControllersOptions } from '../index.ts'

export interface TestCluster {
  readonly client: Client
  readonly clock: FakeClock
  readonly kubelet: FakeKubelet
  /** Waits, moving time on a little at each look, until `what` holds; fails when it never does. */
  until<T>(what: string, holds: () => Promise<T | false | undefined> | T | false | undefined, stepMs?: number): Promise<T>
  /** Shows every state of all pods, as they pass. */
  eachState(look: (pods: readonly Pod[]) => void): void
  /** Lets everything that is under way come to rest. */
  settle(ms?: number): Promise<void>
  restartControllers(): Promise<void>
  stop(): Promise<void>
}

export async function startTestCluster(options: Partial<ControllersOptions> & { readonly tolerationSeconds?: number } = {}): Promise<TestCluster> {
  const clock = new FakeClock()
  const store = openMemoryStore()
  const { tolerationSeconds = 300, ...controllerOptions } = options
  let seed = 1
  const random = (): number => ((seed = (seed * 16807) % 2147483647) - 1) / 2147483646
  const server = await startApiServer({
    store, dataDir: undefined, bind: '127.0.0.1', port: 0, clock, random, log: silentLogger,
    notReadyTolerationSeconds: tolerationSeconds, unreachableTolerationSeconds: tolerationSeconds,
  })
  const clientOf = (name: string): Client => new Client(server.transport({ name, groups: ['system:masters', 'system:authenticated'] }))
  const client = clientOf('tester')
  const kubelet = new FakeKubelet(clientOf('kubelet'), clock)
  const start = (): Promise<Component> => startControllers({ client: clientOf('system:kube-controller-manager'), clock, random, log: silentLogger, ...controllerOptions })
  let controllers = await start()
  const shown = new Informer(client, pods, { clock, random: () => 0 })
  shown.start()
  const settle = async (ms = 20): Promise<void> => {
    for (let turn = 0; turn < 10; turn += 1) await clock.advance(ms / 10)
  }
  return {
    client, clock, kubelet, settle,
    eachState: (look) => void shown.onChange(() => look(shown.list())),
    async until(what, holds, stepMs = 20) {
      for (let attempt = 0; attempt < 500; attempt += 1) {
        const found = await holds()
        if (found !== false && found !== undefined) return found
        await settle(stepMs)
      }
      throw new Error(`never came: ${what}`)
    },
    async restartControllers() {
      await controllers.stop()
      controllers = await start()
    },
    async stop() {
      kubelet.stop()
      shown.stop()
      await controllers.stop()
      await server.stop()
      await store.close()
    },
  }
}

/** Says of pods what a kubelet would, and, where no scheduler is, gives them to its nodes in turn. */
export class FakeKubelet {
  /** Whether a pod becomes ready. */
  readies: (pod: Pod) => boolean = () => true
  /** How a pod ends by itself, if it does. */
  ends: (pod: Pod) => 'Succeeded' | 'Failed' | undefined = () => undefined
  readonly #client: Client
  readonly #clock: FakeClock
  readonly #pods: Informer<Pod>
  readonly #nodes = new Set<string>()
  readonly #silent = new Set<string>()
  #turn = 0
  #address = 1
  #working: Promise<void> = Promise.resolve()

  constructor(client: Client, clock: FakeClock) {
    this.#client = client
    this.#clock = clock
    this.#pods = new Informer(client, pods, { clock, random: () => 0 })
    this.#pods.onChange(({ new: pod }) => {
      if (pod !== undefined) this.#working = this.#working.then(() => this.#sync(pod))
    })
    this.#pods.start()
  }

  stop(): void {
    this.#pods.stop()
  }

  async addNode(name: string, labels: Record<string, string> = {}): Promise<void> {
    const node: Node = { apiVersion: 'v1', kind: 'Node', metadata: { name, labels: { 'kubernetes.io/hostname': name, ...labels } }, spec: {}, status: { conditions: [this.#readyCondition('True')], allocatable: { cpu: '4', memory: '8Gi', pods: '110' }, capacity: { cpu: '4', memory: '8Gi', pods: '110' } } }
    await this.#client.create(nodes, node)
    this.#nodes.add(name)
    await this.#client.create(leases, { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { namespace: 'kube-node-lease', name }, spec: { holderIdentity: name, leaseDurationSeconds: 40, renewTime: this.#microtime() } })
  }

  /** Renews the leases of all nodes that are not silenced, and says again that they are ready. */
  async beat(): Promise<void> {
    for (const name of this.#nodes) {
      if (this.#silent.has(name)) continue
      await this.#client.patch(leases, { namespace: 'kube-node-lease', name }, { spec: { renewTime: this.#microtime() } }, { type: 'merge' })
      const node = await this.#client.get(nodes, { name })
      if (node.status?.conditions?.find(({ type }) => type === 'Ready')?.status !== 'True') {
        await this.#client.patch(nodes, { name, subresource: 'status' }, { status: { conditions: [this.#readyCondition('True')] } }, { type: 'strategic' })
      }
    }
  }

  silence(name: string): void {
    this.#silent.add(name)
  }

  async wake(name: string): Promise<void> {
    this.#silent.delete(name)
    await this.beat()
    for (const pod of this.#pods.list()) if (pod.spec.nodeName === name) this.#working = this.#working.then(() => this.#sync(pod))
    await this.#working
  }

  #microtime(): string {
    return new Date(this.#clock.now()).toISOString().replace('Z', '000Z')
  }

  #readyCondition(status: Condition['status']): Condition {
    const now = new Date(this.#clock.now()).toISOString().replace(/\.\d+/, '')
    return { type: 'Ready', status, reason: 'KubeletReady', message: '', lastHeartbeatTime: now, lastTransitionTime: now }
  }

  async #sync(seen: Pod): Promise<void> {
    const { namespace = '', name = '' } = seen.metadata
    try {
      const pod = await this.#client.get(pods, { namespace, name })
      if (pod.metadata.uid !== seen.metadata.uid) return
      const node = pod.spec.nodeName ?? ''
      if (this.#silent.has(node)) return
      if (node === '') await this.#bind(pod)
      else if (pod.metadata.deletionTimestamp !== undefined) await this.#client.delete(pods, { namespace, name }, { gracePeriodSeconds: 0 })
      else await this.#report(pod)
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error
    }
  }

  async #bind({ metadata: { namespace = '', name = '', deletionTimestamp }, spec }: Pod): Promise<void> {
    const wanted = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms[0]?.matchFields?.[0]?.values?.[0]
    const up = [...this.#nodes].filter((node) => !this.#silent.has(node))
    const node = wanted ?? up[this.#turn++ % Math.max(1, up.length)]
    if (node === undefined || deletionTimestamp !== undefined) return
    await this.#client.createSubresource(pods, { namespace, name, subresource: 'binding' }, { apiVersion: 'v1', kind: 'Binding', metadata: { namespace, name }, target: { apiVersion: 'v1', kind: 'Node', name: node } })
  }

  async #report(pod: Pod): Promise<void> {
    const { metadata: { namespace = '', name = '' }, status } = pod
    const phase = this.ends(pod) ?? 'Running'
    const ready = phase === 'Running' && this.readies(pod) ? 'True' : 'False'
    if (status?.phase === phase && status.conditions?.find(({ type }) => type === 'Ready')?.status === ready) return
    const podIP = status?.podIP ?? `10.244.${Math.floor(this.#address / 250)}.${(this.#address++ % 250) + 1}`
    await this.#client.patch(pods, { namespace, name, subresource: 'status' }, { status: { phase, podIP, podIPs: [{ ip: podIP }], conditions: [this.#readyCondition(ready)] } }, { type: 'strategic' })
  }

  /** Says again what `readies` makes of every pod. */
  async review(): Promise<void> {
    for (const pod of this.#pods.list()) this.#working = this.#working.then(() => this.#sync(pod))
    await this.#working
  }
}

export function template(labels: Record<string, string>, image = 'busybox:1', spec: Partial<PodSpec> = {}): PodTemplateSpec {
  return { metadata: { labels }, spec: { containers: [{ name: 'main', image, ports: [{ name: 'http', containerPort: 8080 }] }], terminationGracePeriodSeconds: 5, ...spec } }
}
