// An APIService for every group and version that this server serves itself: what `kubectl get apiservices` shows, and what says in
// which order clients should prefer them. Those of built-in kinds are there from the start, those of definitions come and go.
import { serverUser } from '../bootstrap/objects.ts'
import type { WatchCache } from '../cache/index.ts'
import type { ResourceDescriptor } from '../descriptor.ts'
import { isRecord, valueAt } from '../object.ts'
import type { ApiObject } from '../object.ts'
import type { Registry } from '../registry.ts'
import { StatusError } from '../status.ts'
import type { Writer } from '../write/writer.ts'

const managed = 'kube-aggregator.kubernetes.io/automanaged'
/** Of groups that are not in the list, which are those of definitions. */
const customPriority = 1000

/** kube-apiserver's `apiVersionPriorities`, by group; the higher, the more it is preferred. */
const priorities: Readonly<Record<string, number>> = {
  '': 18_000, apps: 17_800, 'events.k8s.io': 17_750, 'authentication.k8s.io': 17_700, 'authorization.k8s.io': 17_600, autoscaling: 17_500, batch: 17_400, 'certificates.k8s.io': 17_300,
  'networking.k8s.io': 17_200, policy: 17_100, 'rbac.authorization.k8s.io': 17_000, 'storage.k8s.io': 16_800, 'apiextensions.k8s.io': 16_700, 'admissionregistration.k8s.io': 16_700,
  'scheduling.k8s.io': 16_600, 'coordination.k8s.io': 16_500, 'node.k8s.io': 16_300, 'discovery.k8s.io': 16_200, 'flowcontrol.apiserver.k8s.io': 16_100, 'resource.k8s.io': 15_900, 'apiregistration.k8s.io': 15_000,
}

type Operation = { readonly kind: 'create'; readonly object: ApiObject } | { readonly kind: 'delete'; readonly name: string }

/** What is to be there: one object for each group and version. */
export function wantedServices(registry: Registry): ApiObject[] {
  return [...registry.groups()].flatMap(([group, versions]) =>
    versions.map((version, i) => {
      const isCustom = registry.ofGroupVersion(group, version).every(({ schema }) => schema !== undefined)
      return {
        metadata: { name: `${version}.${group}`, labels: { [managed]: isCustom ? 'true' : 'onstart' } },
        spec: { ...(group === '' ? {} : { group }), version, groupPriorityMinimum: priorities[group] ?? customPriority, versionPriority: isCustom ? Math.max(1, 100 - i) : Math.max(1, 30 - 15 * i) },
      }
    }),
  )
}

/** An APIService that somebody else wrote stays, whatever its name. */
export function planServices(want: readonly ApiObject[], have: readonly ApiObject[]): Operation[] {
  const names = new Set(have.map(({ metadata }) => metadata.name))
  const wanted = new Set(want.map(({ metadata }) => metadata.name))
  return [
    ...want.filter(({ metadata }) => !names.has(metadata.name)).map((object): Operation => ({ kind: 'create', object })),
    ...have
      .filter((object) => object.metadata.labels?.[managed] !== undefined && !wanted.has(object.metadata.name) && !isRecord(valueAt(object, '.spec.service')))
      .map((object): Operation => ({ kind: 'delete', name: object.metadata.name ?? '' })),
  ]
}

export interface LocalServicesOptions {
  readonly cache: WatchCache
  readonly registry: Registry
  readonly writer: Writer
  readonly descriptor: ResourceDescriptor
}

/** Brings the objects in step with what is served. */
export async function reconcileLocalServices({ cache, registry, writer, descriptor }: LocalServicesOptions): Promise<void> {
  const operations = planServices(wantedServices(registry), cache.of(descriptor).list().map(({ object }) => object))
  await Promise.all(operations.map((operation) => apply(writer, descriptor, operation)))
}

async function apply(writer: Writer, descriptor: ResourceDescriptor, operation: Operation): Promise<void> {
  try {
    if (operation.kind === 'create') await writer.create(descriptor, '', operation.object, { user: serverUser })
    else await writer.delete({ descriptor, namespace: '', name: operation.name }, {}, { user: serverUser })
  } catch (error) {
    // Another server of the same cluster was faster.
    if (!(error instanceof StatusError && (error.code === 404 || error.reason === 'AlreadyExists'))) throw error
  }
}
