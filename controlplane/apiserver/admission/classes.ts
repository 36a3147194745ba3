// What a class says of the objects that name one, or name none: DefaultStorageClass and RuntimeClass.
import type { WriteContext } from '../descriptor.ts'
import { cloneJson, equalJson, isRecord } from '../object.ts'
import type { ApiObject } from '../object.ts'
import { forbidden } from '../status.ts'

const isDefault = ['storageclass.kubernetes.io/is-default-class', 'storageclass.beta.kubernetes.io/is-default-class']

/** A claim that names no class gets the default one; of several, the newest, and of those the first by name. */
export function setStorageClass(claim: ApiObject, context: WriteContext): void {
  const spec = claim['spec']
  if (!isRecord(spec) || spec['storageClassName'] !== undefined || claim.metadata.annotations?.['volume.beta.kubernetes.io/storage-class'] !== undefined) return
  const [chosen] = context
    .list('storageclasses.storage.k8s.io')
    .filter(({ metadata }) => isDefault.some((name) => metadata.annotations?.[name] === 'true'))
    .toSorted((a, b) => (b.metadata.creationTimestamp ?? '').localeCompare(a.metadata.creationTimestamp ?? '') || (a.metadata.name ?? '').localeCompare(b.metadata.name ?? ''))
  if (chosen !== undefined) spec['storageClassName'] = chosen.metadata.name
}

/** A pod gets the overhead, node selector and tolerations of its runtime class. */
export function applyRuntimeClass(pod: ApiObject, context: WriteContext): void {
  const spec = pod['spec']
  if (!isRecord(spec)) return
  const refuse = (why: string): Error => forbidden({ group: '', plural: 'pods' }, pod.metadata.name ?? '', why)
  const name = typeof spec['runtimeClassName'] === 'string' ? spec['runtimeClassName'] : ''
  const found = name === '' ? undefined : (context.lookup('runtimeclasses.node.k8s.io', undefined, name) as ApiObject | undefined)
  if (name !== '' && found === undefined) throw refuse(`pod rejected: RuntimeClass ${JSON.stringify(name)} not found`)
  const overhead = isRecord(found?.['overhead']) ? found['overhead']['podFixed'] : undefined
  if (isRecord(overhead)) {
    if (spec['overhead'] !== undefined && !equalJson(spec['overhead'], overhead)) throw refuse("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
    spec['overhead'] = cloneJson(overhead)
  } else if (isRecord(spec['overhead']) && Object.keys(spec['overhead']).length > 0) throw refuse('pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead')
  const scheduling = isRecord(found?.['scheduling']) ? found['scheduling'] : {}
  const own = isRecord(spec['nodeSelector']) ? spec['nodeSelector'] : {}
  for (const [key, value] of Object.entries(isRecord(scheduling['nodeSelector']) ? scheduling['nodeSelector'] : {})) {
    if (Object.hasOwn(own, key) && own[key] !== value) throw refuse(`conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${String(value)}; pod.spec.nodeSelector[${key}] = ${String(own[key])}`)
    spec['nodeSelector'] = { ...(spec['nodeSelector'] as object | undefined), [key]: value }
  }
  const present: unknown[] = Array.isArray(spec['tolerations']) ? spec['tolerations'] : []
  const missing = (Array.isArray(scheduling['tolerations']) ? (scheduling['tolerations'] as unknown[]) : []).filter((one) => !present.some((other) => equalJson(one, other)))
  if (missing.length > 0) spec['tolerations'] = [...present, ...cloneJson(missing)]
}
