// scale: the number of replicas of any kind that has one, as an autoscaling/v1 Scale (`kubectl scale`).
import { formatLabelSelector, formatLabels } from '../../../api/selectors.ts'
import type { ResourceDescriptor, ScalePaths } from '../descriptor.ts'
import { jsonReply } from '../http.ts'
import type { Reply } from '../http.ts'
import { apiVersionOf, isRecord, setValueAt, valueAt } from '../object.ts'
import type { ApiObject } from '../object.ts'
import { applyType, patchType, readConfiguration, readKind, readPatch } from '../routes/body.ts'
import { warningHeaders, writeOptions } from '../routes/call.ts'
import type { Call } from '../routes/call.ts'
import { badRequest, conflict, invalid, noSuchPath } from '../status.ts'

const kind = { group: 'autoscaling', version: 'v1', kind: 'Scale' }

export async function handleScale(call: Call): Promise<Reply> {
  const { serving, request, info, descriptor } = call
  const paths = descriptor.scale
  if (paths === undefined) throw noSuchPath()
  if (info.verb === 'get') return scaleReply(call, (await serving.reader.current(descriptor, info.namespace, info.name)).object, paths)
  if (info.verb === 'patch' && patchType(request) === applyType) return applyScale(call, paths)
  const wanted = await wantedScale(call, paths)
  const options = writeOptions({ ...call, request })
  const make = async (current: ApiObject): Promise<ApiObject> => {
    const given = wanted(current)
    const scale = (await serving.writer.admit({ operation: 'UPDATE', descriptor, subresource: 'scale', kind, namespace: info.namespace, name: info.name, object: given, old: scaleOf(current, paths) }, options)) ?? given
    const version = scale.metadata.resourceVersion
    if (version !== undefined && version !== '' && version !== current.metadata.resourceVersion) throw conflict(descriptor, info.name)
    setValueAt(current, paths.specReplicasPath, replicasOf(scale, descriptor, info.name))
    return current
  }
  const entry = await serving.writer.update({ descriptor, namespace: info.namespace, name: info.name }, { part: 'main', make, subresource: 'scale' }, options)
  return scaleReply(call, entry.object, paths)
}

/** Server-side apply of a Scale is one of the replicas of what is scaled, by way of this subresource. */
async function applyScale(call: Call, paths: ScalePaths): Promise<Reply> {
  const { serving, info, descriptor } = call
  const { config: scale, force } = await readConfiguration(call, kind)
  const { name = info.name, namespace = info.namespace, uid, resourceVersion } = scale.metadata
  if (name !== info.name || namespace !== info.namespace) throw badRequest(`the name of the object (${name}) does not match the name on the URL (${info.name})`)
  const options = writeOptions(call)
  const { object } = await serving.reader.current(descriptor, info.namespace, info.name)
  const given: ApiObject = { ...scaleOf(object, paths), spec: isRecord(scale['spec']) ? { ...scale['spec'] } : {} }
  const admitted = (await serving.writer.admit({ operation: 'UPDATE', descriptor, subresource: 'scale', kind, namespace: info.namespace, name: info.name, object: given, old: scaleOf(object, paths) }, options)) ?? given
  const config = { apiVersion: apiVersionOf(descriptor), kind: descriptor.kind, metadata: { name, ...(descriptor.namespaced ? { namespace } : {}), ...(uid === undefined ? {} : { uid }), ...(resourceVersion === undefined ? {} : { resourceVersion }) } } as ApiObject
  if (valueAt(admitted, '.spec.replicas') !== undefined) setValueAt(config, paths.specReplicasPath, replicasOf(admitted, descriptor, info.name))
  const { entry } = await serving.writer.apply({ descriptor, namespace: info.namespace, name: info.name }, { config, force, part: 'other', subresource: 'scale' }, options)
  return scaleReply(call, entry.object, paths)
}

async function wantedScale(call: Call, paths: ScalePaths): Promise<(current: ApiObject) => ApiObject> {
  if (call.info.verb === 'patch') {
    const patch = await readPatch(call, kind)
    return (current) => patch(scaleOf(current, paths))
  }
  const scale = await readKind(call.request, kind)
  return () => scale
}

function replicasOf(scale: ApiObject, { group, kind }: ResourceDescriptor, name: string): number {
  const replicas = isRecord(scale['spec']) ? (scale['spec']['replicas'] ?? 0) : 0
  if (Number.isSafeInteger(replicas) && (replicas as number) >= 0) return replicas as number
  throw invalid({ group, kind }, name, [{ field: 'spec.replicas', type: 'FieldValueInvalid', value: replicas, detail: 'must be greater than or equal to 0' }])
}

function scaleOf(object: ApiObject, { specReplicasPath, statusReplicasPath, labelSelectorPath }: ScalePaths): ApiObject {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata
  const selector = labelSelectorPath === undefined ? undefined : selectorText(valueAt(object, labelSelectorPath))
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp } as ApiObject['metadata'],
    spec: { replicas: valueAt(object, specReplicasPath) ?? 0 },
    status: { replicas: valueAt(object, statusReplicasPath) ?? 0, ...(selector === undefined ? {} : { selector }) },
  }
}

/** A selector as the text that autoscalers query with; a replication controller's is a plain map. */
function selectorText(selector: unknown): string | undefined {
  if (typeof selector === 'string') return selector
  if (!isRecord(selector)) return undefined
  return 'matchLabels' in selector || 'matchExpressions' in selector ? formatLabelSelector(selector) : formatLabels(selector as Record<string, string>)
}

function scaleReply({ warnings }: Call, object: ApiObject, paths: ScalePaths): Reply {
  return jsonReply(200, scaleOf(object, paths), warningHeaders(warnings))
}
