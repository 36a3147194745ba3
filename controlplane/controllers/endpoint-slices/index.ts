/** Writes the EndpointSlices of every Service with a selector: what proxies and DNS go by. */
import { isAlreadyExists, isNamespaceTerminating, isNotFound } from '../../../api/client.ts'
import { objectKey } from '../../../api/informer.ts'
import type { Change, Informer } from '../../../api/informer.ts'
import { endpointSlices, nodes, pods, services } from '../../../api/resources.ts'
import { matchesLabels } from '../../../api/selectors.ts'
import type { EndpointSlice, Node, Pod, Service } from '../../../api/types.ts'
import type { WorkQueue } from '../../../api/work-queue.ts'
import { equalJson, randomName } from '../canonical.ts'
import { queueOf } from '../controller.ts'
import type { Controller, ControllerContext } from '../controller.ts'
import { OwnWrites } from '../own-writes.ts'
import { hasSelector, wantedGroups } from './endpoints.ts'
import { isOurs, planSlices, serviceLabel } from './plan.ts'
import { TriggerTimes, withTrigger } from './trigger-times.ts'

export function endpointSliceController(context: ControllerContext): Controller {
  return new EndpointSliceController(context)
}

class EndpointSliceController implements Controller {
  readonly #context: ControllerContext
  readonly #services: Informer<Service>
  readonly #pods: Informer<Pod>
  readonly #nodes: Informer<Node>
  readonly #slices: Informer<EndpointSlice>
  readonly #own: OwnWrites<EndpointSlice>
  readonly #queue: WorkQueue
  readonly #triggers = new TriggerTimes()

  constructor(context: ControllerContext) {
    this.#context = context
    this.#services = context.informers.informer(services)
    this.#pods = context.informers.informer(pods)
    this.#nodes = context.informers.informer(nodes)
    this.#slices = context.informers.informer(endpointSlices)
    this.#services.addIndex('namespace', ({ metadata }) => [metadata.namespace ?? ''])
    this.#pods.addIndex('namespace', ({ metadata }) => [metadata.namespace ?? ''])
    this.#pods.addIndex('node', ({ spec }) => [spec.nodeName ?? ''])
    this.#slices.addIndex('service', (slice) => [serviceOf(slice)])
    this.#queue = queueOf(context, 'endpoint-slice', (key) => this.#reconcile(key), 8)
    this.#own = new OwnWrites(this.#slices, { ...context, onLost: (slice) => this.#queue.add(serviceOf(slice)) })
  }

  start(): void {
    this.#own.start()
    this.#services.onChange(({ old, new: service }) => {
      const changed = service ?? old
      if (changed !== undefined) this.#queue.add(objectKey(changed))
    })
    this.#pods.onChange((change) => this.#podChanged(change))
    this.#slices.onChange(({ old, new: slice }) => {
      // Only what others did to a slice matters: our own writes are known.
      for (const state of [old, slice]) if (state !== undefined && isOurs(state)) this.#queue.add(serviceOf(state))
    })
    this.#nodes.onChange(({ old, new: node }) => {
      const zone = (state: Node | undefined): string | undefined => state?.metadata.labels?.['topology.kubernetes.io/zone']
      if (zone(old) === zone(node)) return
      for (const pod of this.#pods.byIndex('node', (node ?? old)?.metadata.name ?? '')) this.#podChanged({ new: pod })
    })
  }

  async stop(): Promise<void> {
    await this.#queue.stop()
    this.#own.stop()
  }

  /** Wakes the services that select the pod as it is or as it was, if anything changed that they show. */
  #podChanged({ old, new: pod }: Change<Pod>): void {
    const changed = pod ?? old
    if (changed === undefined) return
    if (old !== undefined && pod !== undefined && equalJson(shown(old), shown(pod))) return
    for (const service of this.#services.byIndex('namespace', changed.metadata.namespace ?? '')) {
      const { selector = {} } = service.spec
      if (hasSelector(service) && [old, pod].some((state) => state !== undefined && matchesLabels(selector, state.metadata.labels))) this.#queue.add(objectKey(service))
    }
  }

  async #reconcile(key: string): Promise<void> {
    const service = this.#services.getByKey(key)
    // The slices of a service that is gone are collected as its dependents.
    if (service === undefined || service.metadata.deletionTimestamp !== undefined || !hasSelector(service)) return this.#triggers.forget(key)
    const { namespace = '' } = service.metadata
    const selected = this.#pods.byIndex('namespace', namespace).filter((pod) => matchesLabels(service.spec.selector ?? {}, pod.metadata.labels))
    const have = this.#own.over(this.#slices.byIndex('service', key), (slice) => serviceOf(slice) === key).filter(isOurs)
    const plan = planSlices(service, (type) => wantedGroups(service, selected, type, (name) => this.#nodes.get(undefined, name)), have)
    const changedAt = this.#triggers.changedAt(key, service, selected)
    // What is offered comes before what is taken away. Endpoints that left a slice left with its update.
    await Promise.all([...plan.create.map((slice) => this.#create(withTrigger(slice, changedAt))), ...plan.update.map((slice) => this.#update(withTrigger(slice, changedAt)))])
    await Promise.all(plan.delete.map((slice) => this.#delete(slice)))
  }

  async #create(slice: EndpointSlice): Promise<void> {
    const { client, random } = this.#context
    const name = randomName(slice.metadata.generateName ?? '', random)
    try {
      this.#own.wrote(await client.create(endpointSlices, { ...slice, metadata: { ...slice.metadata, name } }))
    } catch (error) {
      if (!isNamespaceTerminating(error) && !isAlreadyExists(error)) throw error
      if (isAlreadyExists(error)) this.#queue.add(serviceOf(slice))
    }
  }

  async #update(slice: EndpointSlice): Promise<void> {
    try {
      this.#own.wrote(await this.#context.client.update(endpointSlices, slice))
    } catch (error) {
      if (isNotFound(error)) this.#own.deleted(slice, slice)
      throw error
    }
  }

  async #delete(slice: EndpointSlice): Promise<void> {
    const { namespace, name = '', uid = '' } = slice.metadata
    try {
      this.#own.deleted(slice, await this.#context.client.delete(endpointSlices, { namespace, name }, { preconditions: { uid } }))
    } catch (error) {
      if (!isNotFound(error)) throw error
    }
  }
}

/** The key of the service that a slice belongs to. */
function serviceOf({ metadata }: EndpointSlice): string {
  return `${metadata.namespace ?? ''}/${metadata.labels?.[serviceLabel] ?? ''}`
}

/** What of a pod can show in a slice. */
function shown({ metadata, spec, status }: Pod): unknown {
  const ready = status?.conditions?.find(({ type }) => type === 'Ready')?.status
  return [metadata.labels, metadata.deletionTimestamp, spec.nodeName, spec.hostname, spec.subdomain, status?.phase, status?.podIP, status?.podIPs, ready]
}
