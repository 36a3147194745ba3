/** What every namespace has: the service account `default`, and the cluster's CA for its pods to trust. */
import { isAlreadyExists, isNamespaceTerminating, isNotFound } from '../../api/client.ts'
import type { Informer } from '../../api/informer.ts'
import { configMaps, namespaces, serviceAccounts } from '../../api/resources.ts'
import type { ConfigMap, Namespace, ServiceAccount } from '../../api/types.ts'
import type { WorkQueue } from '../../api/work-queue.ts'
import { queueOf } from './controller.ts'
import type { Controller, ControllerContext } from './controller.ts'

const rootCAName = 'kube-root-ca.crt'

export function serviceAccountController(context: ControllerContext): Controller {
  const accounts = context.informers.informer(serviceAccounts)
  return new PerNamespace(context, 'service-account', accounts, async (namespace) => {
    if (accounts.get(namespace, 'default') !== undefined) return
    await context.client.create(serviceAccounts, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { namespace, name: 'default' } })
  })
}

export function rootCAController(context: ControllerContext): Controller {
  const maps = context.informers.informer(configMaps, { fieldSelector: `metadata.name=${rootCAName}` })
  return new PerNamespace(context, 'root-ca', maps, async (namespace) => {
    const present = maps.get(namespace, rootCAName)
    const { rootCA } = context
    if (rootCA === undefined || present?.data?.['ca.crt'] === rootCA) return
    const annotations = { 'kubernetes.io/description': 'Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc.' }
    const wanted: ConfigMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace, name: rootCAName, annotations }, data: { 'ca.crt': rootCA } }
    if (present === undefined) await context.client.create(configMaps, wanted)
    else await context.client.update(configMaps, { ...present, data: { 'ca.crt': rootCA } })
  })
}

/** Ensures one object in each living namespace, and again when it goes or changes. */
class PerNamespace<T extends ServiceAccount | ConfigMap> implements Controller {
  readonly #namespaces: Informer<Namespace>
  readonly #objects: Informer<T>
  readonly #ensure: (namespace: string) => Promise<void>
  readonly #queue: WorkQueue

  constructor(context: ControllerContext, name: string, objects: Informer<T>, ensure: (namespace: string) => Promise<void>) {
    this.#namespaces = context.informers.informer(namespaces)
    this.#objects = objects
    this.#ensure = ensure
    this.#queue = queueOf(context, name, (namespace) => this.#reconcile(namespace))
  }

  start(): void {
    this.#namespaces.onChange(({ new: namespace }) => {
      if (namespace !== undefined) this.#queue.add(namespace.metadata.name ?? '')
    })
    this.#objects.onChange(({ old, new: object }) => {
      if (old !== undefined) this.#queue.add((object ?? old).metadata.namespace ?? '')
    })
  }

  stop(): Promise<void> {
    return this.#queue.stop()
  }

  async #reconcile(name: string): Promise<void> {
    const namespace = this.#namespaces.get(undefined, name)
    if (namespace === undefined || namespace.metadata.deletionTimestamp !== undefined) return
    try {
      await this.#ensure(name)
    } catch (error) {
      if (!isAlreadyExists(error) && !isNamespaceTerminating(error) && !isNotFound(error)) throw error
    }
  }
}
