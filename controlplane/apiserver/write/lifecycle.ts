// What happens to the metadata of every kind when it is created, updated and deleted
// (k8s.io/apiserver/pkg/registry/rest: BeforeCreate, BeforeUpdate, BeforeDelete). Pure.
import type { DeleteOptions, ResourceDescriptor, WriteContext } from '../descriptor.ts'
import { equalJson, isRecord, timestamp } from '../object.ts'
import type { ApiObject } from '../object.ts'
import { hasSubresource } from '../registry.ts'
import { conflict, invalid } from '../status.ts'
import type { StatusError } from '../status.ts'

const orphanFinalizer = 'orphan'
const foregroundFinalizer = 'foregroundDeletion'

/** Core kinds that never had a generation; all others with a spec count theirs. */
const withoutGeneration = new Set(['Service', 'Node', 'Namespace', 'ServiceAccount', 'Secret', 'ConfigMap', 'Event', 'Endpoints', 'PersistentVolume', 'PersistentVolumeClaim'])

function countsGenerations({ group, kind }: ResourceDescriptor): boolean {
  return !(group === '' && withoutGeneration.has(kind))
}

/** Gives a new object what the server decides, and takes away what it alone may set. */
export function prepareCreate(descriptor: ResourceDescriptor, object: ApiObject, uid: string, context: WriteContext): void {
  const { metadata } = object
  delete metadata.deletionTimestamp
  delete metadata.deletionGracePeriodSeconds
  delete metadata.resourceVersion
  delete metadata.generation
  delete (metadata as Record<string, unknown>)['selfLink']
  metadata.uid = uid
  metadata.creationTimestamp = timestamp(context.now)
  if (countsGenerations(descriptor) && object['spec'] !== undefined) metadata.generation = 1
  if (!descriptor.namespaced) delete metadata.namespace
  // A kubelet registers its Node together with its status; of everything else, only the status subresource sets it.
  if (hasSubresource(descriptor, 'status') && descriptor.kind !== 'Node') delete object['status']
}

/** Keeps what an update may not change. Returns why the update is refused, if it is. */
export function prepareUpdate(descriptor: ResourceDescriptor, object: ApiObject, old: ApiObject): StatusError | undefined {
  const { metadata } = object
  const name = old.metadata.name ?? ''
  if (metadata.uid !== undefined && metadata.uid !== '' && metadata.uid !== old.metadata.uid) {
    return conflict(descriptor, name, `Precondition failed: UID in precondition: ${metadata.uid}, UID in object meta: ${old.metadata.uid ?? ''}`)
  }
  const kept = ['name', 'namespace', 'uid', 'creationTimestamp', 'deletionTimestamp', 'deletionGracePeriodSeconds', 'generation', 'generateName'] as const
  const target = metadata as Record<string, unknown>
  for (const field of kept) {
    if (old.metadata[field] === undefined) delete target[field]
    else target[field] = old.metadata[field]
  }
  delete target['selfLink']
  if (old.metadata.deletionTimestamp === undefined) return undefined
  const added = (metadata.finalizers ?? []).filter((finalizer) => !(old.metadata.finalizers ?? []).includes(finalizer))
  if (added.length === 0) return undefined
  const detail = `no new finalizers can be added if the object is being deleted, found new finalizers ${JSON.stringify(added)}`
  return invalid(descriptor, name, [{ field: 'metadata.finalizers', type: 'FieldValueForbidden', detail }])
}

/** The generation goes up when anything but metadata and status changes. */
export function countGeneration(descriptor: ResourceDescriptor, object: ApiObject, old: ApiObject): void {
  if (!countsGenerations(descriptor) || old.metadata.generation === undefined) return
  const { metadata: _a, status: _b, ...now } = object
  const { metadata: _c, status: _d, ...before } = old
  if (!equalJson(now, before)) object.metadata.generation = old.metadata.generation + 1
}

export interface DeletionPlan {
  /** Gone now; otherwise `object` is to be stored, and goes when finalizers and grace period allow. */
  readonly now: boolean
  /** The object with its deletion marks; undefined when there is nothing to change. */
  readonly object: ApiObject | undefined
}

/** Whether anything still holds the object: finalizers of metadata or, of a namespace, of its spec. */
function isHeld(object: ApiObject): boolean {
  const spec = object['spec']
  const ofSpec = object.kind === 'Namespace' && isRecord(spec) ? spec['finalizers'] : undefined
  return (object.metadata.finalizers?.length ?? 0) > 0 || (Array.isArray(ofSpec) && ofSpec.length > 0)
}

/** Whether an update has taken away the last thing that kept a deleted object. */
export function isReleased(object: ApiObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds } = object.metadata
  return deletionTimestamp !== undefined && (deletionGracePeriodSeconds ?? 0) === 0 && !isHeld(object)
}

/** Decides what a DELETE does to an object. `object` is a copy that may be changed. */
export function planDeletion(descriptor: ResourceDescriptor, object: ApiObject, options: DeleteOptions, context: WriteContext): DeletionPlan {
  const { metadata } = object
  const before = JSON.stringify([metadata, object['status']])
  const finalizers = finalizersFor(metadata.finalizers ?? [], options)
  if (finalizers.length > 0) metadata.finalizers = finalizers
  else delete metadata.finalizers
  const graceful = descriptor.strategy?.gracefulDelete?.(object, options, context) ?? 'now'
  const graceSeconds = graceful === 'now' ? 0 : Math.max(0, graceful.graceSeconds)
  const running = metadata.deletionTimestamp
  if (graceSeconds === 0 && !isHeld(object)) return { now: true, object }
  if (running === undefined) {
    metadata.deletionTimestamp = timestamp(context.now + graceSeconds * 1000)
    metadata.deletionGracePeriodSeconds = graceSeconds
    if (metadata.generation !== undefined) metadata.generation++
  } else if (graceSeconds < (metadata.deletionGracePeriodSeconds ?? 0)) {
    // A grace period can be cut short, never prolonged: the new one counts from when the deletion began.
    const begun = Date.parse(running) - (metadata.deletionGracePeriodSeconds ?? 0) * 1000
    metadata.deletionTimestamp = timestamp(begun + graceSeconds * 1000)
    metadata.deletionGracePeriodSeconds = graceSeconds
  }
  if (object.kind === 'Namespace') object['status'] = { ...(isRecord(object['status']) ? object['status'] : {}), phase: 'Terminating' }
  return { now: false, object: JSON.stringify([metadata, object['status']]) === before ? undefined : object }
}

function finalizersFor(present: readonly string[], { propagationPolicy, orphanDependents }: DeleteOptions): string[] {
  const policy = propagationPolicy ?? (orphanDependents === undefined ? undefined : orphanDependents ? 'Orphan' : 'Background')
  if (policy === undefined) return [...present]
  const others = present.filter((finalizer) => finalizer !== orphanFinalizer && finalizer !== foregroundFinalizer)
  if (policy === 'Orphan') return [...others, orphanFinalizer]
  return policy === 'Foreground' ? [...others, foregroundFinalizer] : others
}

/** Refuses when the client meant another object or another state than there is. */
export function checkPreconditions(descriptor: ResourceDescriptor, object: ApiObject, preconditions: DeleteOptions['preconditions']): StatusError | undefined {
  const { name = '', uid = '', resourceVersion = '' } = object.metadata
  if (preconditions?.uid !== undefined && preconditions.uid !== uid) {
    return conflict(descriptor, name, `Precondition failed: UID in precondition: ${preconditions.uid}, UID in object meta: ${uid}`)
  }
  if (preconditions?.resourceVersion !== undefined && preconditions.resourceVersion !== resourceVersion) {
    return conflict(descriptor, name, `Precondition failed: ResourceVersion in precondition: ${preconditions.resourceVersion}, ResourceVersion in object meta: ${resourceVersion}`)
  }
  return undefined
}
