/** Gives every node its own range of pod addresses, once and for good. */
import { isInvalid, isNotFound } from '../../../api/client.ts'
import type { Informer } from '../../../api/informer.ts'
import { nodes } from '../../../api/resources.ts'
import type { Node } from '../../../api/types.ts'
import type { WorkQueue } from '../../../api/work-queue.ts'
import { eventsOf, queueOf } from '../controller.ts'
import type { Controller, ControllerContext } from '../controller.ts'
import { formatRange, nextFree, parseRange } from './plan.ts'
import type { Range } from './plan.ts'

export function nodeIpamController(context: ControllerContext): Controller {
  return new NodeIpamController(context)
}

class NodeIpamController implements Controller {
  readonly #context: ControllerContext
  readonly #nodes: Informer<Node>
  readonly #cluster: readonly { readonly range: Range; next: number }[]
  /** What nodes have or are being given, by node: kept until the node is gone, so that no answer that got lost gives a range away twice. */
  readonly #given = new Map<string, readonly string[]>()
  readonly #queue: WorkQueue
  readonly #events

  constructor(context: ControllerContext) {
    this.#context = context
    this.#cluster = (context.clusterCIDRs ?? ['10.244.0.0/16']).map((text) => ({ range: parseRange(text), next: 0 }))
    this.#nodes = context.informers.informer(nodes)
    // One after the other: each sees what the one before was given.
    this.#queue = queueOf(context, 'node-ipam', (name) => this.#reconcile(name), 1)
    this.#events = eventsOf(context, 'node-ipam')
  }

  start(): void {
    // All that is given already is known before anything new is.
    for (const node of this.#nodes.list()) this.#keep(node)
    this.#nodes.onChange(({ old, new: node }) => {
      const name = (node ?? old)?.metadata.name ?? ''
      if (node === undefined) this.#given.delete(name)
      else if (rangesOf(node).length === 0) this.#queue.add(name)
      else this.#keep(node)
    })
  }

  async stop(): Promise<void> {
    await this.#queue.stop()
    await this.#events.flush()
  }

  #keep(node: Node): void {
    const ranges = rangesOf(node)
    if (ranges.length > 0) this.#given.set(node.metadata.name ?? '', ranges)
  }

  async #reconcile(name: string): Promise<void> {
    const node = this.#nodes.get(undefined, name)
    if (node === undefined || rangesOf(node).length > 0) return
    const podCIDRs = this.#given.get(name) ?? this.#allocate(node)
    this.#given.set(name, podCIDRs)
    try {
      await this.#context.client.patch(nodes, { name }, { metadata: { uid: node.metadata.uid }, spec: { podCIDR: podCIDRs[0], podCIDRs } }, { type: 'merge' })
    } catch (error) {
      // Another has given it a range meanwhile, and that stays: the watch brings it.
      if (isInvalid(error) || isNotFound(error)) this.#given.delete(name)
      if (!isNotFound(error)) throw error
    }
  }

  #allocate(node: Node): string[] {
    const taken = [...this.#given.values()].flat().map(parseRange)
    return this.#cluster.map((cluster) => {
      const free = nextFree(cluster.range, taken, cluster.next)
      if (free === undefined) {
        this.#events.event({ ...node, kind: 'Node', apiVersion: 'v1' }, 'Warning', 'CIDRNotAvailable', `Every range of ${formatRange(cluster.range)} is taken`)
        throw new Error(`Cannot give node ${node.metadata.name ?? ''} a pod range: every range of ${formatRange(cluster.range)} is taken`)
      }
      cluster.next = free.number + 1
      return formatRange(free.range)
    })
  }
}

function rangesOf({ spec = {} }: Partial<Pick<Node, 'spec'>>): string[] {
  const { podCIDRs = [], podCIDR = '' } = spec
  return podCIDRs.length > 0 ? podCIDRs : podCIDR === '' ? [] : [podCIDR]
}
