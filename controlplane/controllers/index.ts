/** The controllers: loops that each make one thing true, over caches that all of them share. */
import type { Component } from '../../api/component.ts'
import { InformerSet } from '../../api/informer-set.ts'
import type { Controller, ControllerFactory, ControllersOptions } from './controller.ts'
import { cronJobController } from './cron-job/index.ts'
import { daemonSetController } from './daemon-set/index.ts'
import { deploymentController } from './deployment/index.ts'
import { endpointSliceController } from './endpoint-slices/index.ts'
import { garbageController } from './garbage/index.ts'
import { jobController } from './job/index.ts'
import { namespaceController } from './namespaces/index.ts'
import { nodeIpamController } from './node-ipam/index.ts'
import { nodeLifecycleController } from './node-lifecycle/index.ts'
import { taintEvictionController } from './node-lifecycle/taint-eviction.ts'
import { podGCController } from './pod-gc/index.ts'
import { replicaSetController } from './replica-set/index.ts'
import { resourceQuotaController } from './resource-quota/index.ts'
import { rootCAController, serviceAccountController } from './service-accounts.ts'
import { statefulSetController } from './stateful-set/index.ts'

export type { ControllersOptions } from './controller.ts'

/** All of them, by the names that `--controllers` takes. */
const factories: Readonly<Record<string, ControllerFactory>> = {
  'deployment': deploymentController,
  'replicaset': replicaSetController,
  'daemonset': daemonSetController,
  'statefulset': statefulSetController,
  'job': jobController,
  'cronjob': cronJobController,
  'endpointslice': endpointSliceController,
  'node-ipam': nodeIpamController,
  'node-lifecycle': nodeLifecycleController,
  'taint-eviction': taintEvictionController,
  'pod-garbage-collector': podGCController,
  'garbage-collector': garbageController,
  'namespace': namespaceController,
  'resourcequota': resourceQuotaController,
  'serviceaccount': serviceAccountController,
  'root-ca-certificate-publisher': rootCAController,
}

const controllerNames: readonly string[] = Object.keys(factories)

/** Starts the chosen controllers; resolves once their caches are filled and they run. Throws for a name that none has. */
export async function startControllers(options: ControllersOptions): Promise<Component> {
  const { client, clock, random, log } = options
  const names = chosen(options.controllers ?? ['*'])
  const informers = new InformerSet(client, { clock, random, log })
  const controllers = names.map((name) => factories[name]?.({ ...options, informers })).filter((controller) => controller !== undefined)
  informers.start()
  await informers.synced
  for (const controller of controllers) controller.start()
  return new Controllers(informers, controllers)
}

/** As kube-controller-manager reads its flag: names, `-name` to leave one out, `*` for the rest. */
function chosen(wanted: readonly string[]): string[] {
  const unknown = wanted.find((name) => name !== '*' && factories[name.replace(/^-/, '')] === undefined)
  if (unknown !== undefined) throw new Error(`Cannot start controller ${JSON.stringify(unknown)}: there is ${controllerNames.join(', ')}`)
  return controllerNames.filter((name) => !wanted.includes(`-${name}`) && (wanted.includes(name) || wanted.includes('*')))
}

class Controllers implements Component {
  readonly done: Promise<void>
  readonly #informers: InformerSet
  readonly #controllers: readonly Controller[]
  readonly #resolveDone: () => void

  constructor(informers: InformerSet, controllers: readonly Controller[]) {
    this.#informers = informers
    this.#controllers = controllers
    const { promise, resolve } = Promise.withResolvers<void>()
    this.done = promise
    this.#resolveDone = resolve
  }

  async stop(): Promise<void> {
    await Promise.all(this.#controllers.map((controller) => controller.stop()))
    this.#informers.stop()
    this.#resolveDone()
  }
}
