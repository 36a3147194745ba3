// Subresources that are a part of the object: of what the client sends, only that part counts.
import type { PodSpec } from '../../../api/types.ts'
import type { FieldError } from '../descriptor.ts'
import { equalJson, isRecord } from '../object.ts'
import type { ApiObject } from '../object.ts'
import { qosClass } from '../resources/strategies/pod.ts'
import { badRequest, invalid } from '../status.ts'

type Json = Record<string, unknown>

/** `certificatesigningrequests/approval`: the conditions Approved, Denied and Failed. */
export function withApproval(wanted: ApiObject, current: ApiObject): ApiObject {
  const conditions = isRecord(wanted['status']) ? wanted['status']['conditions'] : undefined
  const present = isRecord(current['status']) ? current['status'] : {}
  return { ...current, metadata: { ...current.metadata, ...revisionOf(wanted) }, status: { ...present, ...(Array.isArray(conditions) ? { conditions } : {}) } }
}

/** `namespaces/finalize`: who still has to clean up. */
export function withFinalizers(wanted: ApiObject, current: ApiObject): ApiObject {
  const finalizers = isRecord(wanted['spec']) ? wanted['spec']['finalizers'] : undefined
  const { finalizers: _gone, ...spec } = isRecord(current['spec']) ? current['spec'] : {}
  return { ...current, metadata: { ...current.metadata, ...revisionOf(wanted) }, spec: Array.isArray(finalizers) && finalizers.length > 0 ? { ...spec, finalizers } : spec }
}

/** `pods/ephemeralcontainers`: debugging containers are added, never changed or taken away. */
export function withEphemeralContainers(wanted: ApiObject, current: ApiObject): ApiObject {
  const [next, present] = [wanted, current].map((object) => listOf(specOf(object), 'ephemeralContainers')) as [Json[], Json[]]
  for (const container of present) {
    if (!next.some(({ name }) => name === container['name'])) throw badRequest(`existing ephemeral containers "${String(container['name'])}" may not be removed`)
  }
  return { ...current, metadata: { ...current.metadata, ...revisionOf(wanted) }, spec: { ...specOf(current), ephemeralContainers: next } }
}

/** `pods/resize`: the resources of containers that are there, also of those that start first and stay. */
export function withResources(wanted: ApiObject, current: ApiObject): ApiObject {
  const spec = { ...specOf(current) }
  const wrong: FieldError[] = []
  for (const field of ['containers', 'initContainers']) {
    if (!Array.isArray(spec[field])) continue
    const resized = listOf(specOf(wanted), field)
    spec[field] = listOf(spec, field).map((container, i) => {
      const { resources } = resized.find(({ name }) => name === container['name']) ?? {}
      if (!isRecord(resources) || equalJson(resources, container['resources'] ?? {})) return container
      wrong.push(...resizeErrors(resources, container, `spec.${field}[${i}].resources`, field === 'containers' || container['restartPolicy'] === 'Always'))
      return { ...container, resources }
    })
  }
  const [before, after] = [specOf(current), spec].map((one) => qosClass(one as unknown as PodSpec))
  if (wrong.length === 0 && before !== after) wrong.push({ field: 'spec', type: 'FieldValueInvalid', value: after, detail: 'Pod QOS Class may not change as a result of resizing' })
  if (wrong.length > 0) throw invalid({ group: '', kind: 'Pod' }, current.metadata.name ?? '', wrong)
  return { ...current, metadata: { ...current.metadata, ...revisionOf(wanted) }, spec }
}

const resizable = new Set(['cpu', 'memory'])

function resizeErrors(resources: Json, container: Json, at: string, mayBeResized: boolean): FieldError[] {
  const errors: FieldError[] = []
  const forbid = (detail: string): void => void errors.push({ field: at, type: 'FieldValueForbidden', detail })
  if (!mayBeResized) forbid('resources of a non-sidecar init container may not be changed')
  const old = isRecord(container['resources']) ? container['resources'] : {}
  for (const list of ['requests', 'limits']) {
    const [now, then] = [resources[list], old[list]].map((one) => (isRecord(one) ? one : {})) as [Json, Json]
    const names = new Set([...Object.keys(now), ...Object.keys(then)])
    if ([...names].some((name) => !resizable.has(name) && !equalJson(now[name], then[name]))) forbid('only cpu and memory resources are mutable')
    if (Object.keys(then).some((name) => resizable.has(name) && now[name] === undefined)) forbid(`resource ${list} cannot be removed`)
  }
  return errors
}

/** Who a configuration is about, and nothing else of it. */
function identityOf({ apiVersion, kind, metadata }: ApiObject): ApiObject {
  const { name, namespace, uid, resourceVersion } = metadata
  return { apiVersion, kind, metadata: Object.fromEntries(Object.entries({ name, namespace, uid, resourceVersion }).filter(([, value]) => value !== undefined)) } as ApiObject
}

/** What of an applied configuration `approval` counts. */
export function approvalOf(config: ApiObject): ApiObject {
  const conditions = isRecord(config['status']) ? config['status']['conditions'] : undefined
  return { ...identityOf(config), ...(conditions === undefined ? {} : { status: { conditions } }) }
}

export function ephemeralContainersOf(config: ApiObject): ApiObject {
  const { ephemeralContainers } = specOf(config)
  return { ...identityOf(config), ...(ephemeralContainers === undefined ? {} : { spec: { ephemeralContainers } }) }
}

export function resourcesOf(config: ApiObject): ApiObject {
  const containers = listOf(specOf(config), 'containers').map(({ name, resources }) => ({ name, ...(resources === undefined ? {} : { resources }) }))
  return { ...identityOf(config), ...(containers.length === 0 ? {} : { spec: { containers } }) }
}

/** The revision that the client has seen, so that a conflict is noticed. */
function revisionOf({ metadata }: ApiObject): { resourceVersion?: string } {
  return metadata.resourceVersion === undefined ? {} : { resourceVersion: metadata.resourceVersion }
}

function specOf(object: ApiObject): Json {
  return isRecord(object['spec']) ? object['spec'] : {}
}

function listOf(spec: Json, field: string): Json[] {
  const list = spec[field]
  return Array.isArray(list) ? list.filter(isRecord) : []
}
