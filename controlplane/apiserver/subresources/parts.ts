// Subresources that are a part of the object: of what the client sends, only that part counts.
import { isRecord } from '../object.ts'
import type { ApiObject } from '../object.ts'
import { badRequest } from '../status.ts'

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

/** `pods/resize`: the resources of containers that are there. */
export function withResources(wanted: ApiObject, current: ApiObject): ApiObject {
  const resized = listOf(specOf(wanted), 'containers')
  const containers = listOf(specOf(current), 'containers').map((container) => {
    const { resources } = resized.find(({ name }) => name === container['name']) ?? {}
    return isRecord(resources) ? { ...container, resources } : container
  })
  return { ...current, metadata: { ...current.metadata, ...revisionOf(wanted) }, spec: { ...specOf(current), containers } }
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
