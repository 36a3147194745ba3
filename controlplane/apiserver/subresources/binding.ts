// Binding: how a scheduler puts a pod on a node. `pods/NAME/binding`, and the older `bindings`.
import type { ResourceDescriptor } from '../descriptor.ts'
import { jsonReply } from '../http.ts'
import type { Reply } from '../http.ts'
import { isRecord, timestamp } from '../object.ts'
import type { ApiObject } from '../object.ts'
import { readKind } from '../routes/body.ts'
import { writeOptions } from '../routes/call.ts'
import type { Call } from '../routes/call.ts'
import { badRequest, conflict, invalid, noSuchPath } from '../status.ts'

const kind = { group: '', version: 'v1', kind: 'Binding' }

export async function bind(call: Call): Promise<Reply> {
  const { serving, request, info, descriptor } = call
  const binding = await readKind(request, kind)
  const name = info.name === '' ? (binding.metadata.name ?? '') : info.name
  if (info.name !== '' && binding.metadata.name !== undefined && binding.metadata.name !== info.name) throw badRequest('name in URL does not match name in Binding object')
  const target = isRecord(binding['target']) ? binding['target'] : {}
  const node = target['name']
  if (typeof node !== 'string' || node === '') throw invalid(kind, name, [{ field: 'target.name', type: 'FieldValueRequired', detail: '' }])
  if (target['kind'] !== undefined && target['kind'] !== '' && target['kind'] !== 'Node') {
    throw invalid(kind, name, [{ field: 'target.kind', type: 'FieldValueNotSupported', value: target['kind'], detail: 'supported values: "Node", "<empty>"' }])
  }
  const pods = podsOf(call)
  const options = writeOptions({ ...call, descriptor })
  await serving.writer.admit({ operation: 'CREATE', descriptor: pods, subresource: 'binding', kind, namespace: info.namespace, name, object: binding, old: undefined }, options)
  const { origin: _settled, ...write } = options
  const make = (pod: ApiObject): ApiObject => bound(pods, pod, node, binding, serving.clock.now())
  await serving.writer.update({ descriptor: pods, namespace: info.namespace, name }, { part: 'other', make }, write)
  return jsonReply(201, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 })
}

function podsOf({ serving }: Call): ResourceDescriptor {
  const pods = serving.registry.named('pods')
  if (pods === undefined) throw noSuchPath()
  return pods
}

/** The pod on its node; refuses one that has a node, is going, or is another than the scheduler saw. */
function bound(pods: ResourceDescriptor, pod: ApiObject, node: string, { metadata }: ApiObject, now: number): ApiObject {
  const name = pod.metadata.name ?? ''
  const spec = isRecord(pod['spec']) ? pod['spec'] : {}
  if (metadata.uid !== undefined && metadata.uid !== '' && metadata.uid !== pod.metadata.uid) throw conflict(pods, name, `Precondition failed: UID in precondition: ${metadata.uid}, UID in object meta: ${pod.metadata.uid ?? ''}`)
  if (pod.metadata.deletionTimestamp !== undefined) throw conflict(pods, name, `pod ${name} is being deleted, cannot be assigned to a host`)
  if (typeof spec['nodeName'] === 'string' && spec['nodeName'] !== '') throw conflict(pods, name, `pod ${name} is already assigned to node ${JSON.stringify(spec['nodeName'])}`)
  if (Array.isArray(spec['schedulingGates']) && spec['schedulingGates'].length > 0) throw conflict(pods, name, `pod ${name} has non-empty .spec.schedulingGates`)
  const status = isRecord(pod['status']) ? pod['status'] : {}
  const others = (Array.isArray(status['conditions']) ? status['conditions'] : []).filter((condition) => isRecord(condition) && condition['type'] !== 'PodScheduled')
  const annotations = metadata.annotations === undefined ? {} : { annotations: { ...pod.metadata.annotations, ...metadata.annotations } }
  return {
    ...pod,
    metadata: { ...pod.metadata, ...annotations },
    spec: { ...spec, nodeName: node },
    status: { ...status, conditions: [...others, { type: 'PodScheduled', status: 'True', lastProbeTime: null, lastTransitionTime: timestamp(now) }] },
  }
}
