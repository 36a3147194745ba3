// HorizontalPodAutoscalers of autoscaling/v1, which know one metric: the use of CPU. They are kept as those of v2; the other metrics,
// the behaviour and the conditions go into annotations, so that nothing is lost on the way (pkg/apis/autoscaling/v1/conversion.go).
import type { Kept, ResourceDescriptor, Strategy } from '../../descriptor.ts'
import { isRecord, setValueAt, valueAt } from '../../object.ts'
import type { ApiObject } from '../../object.ts'

type Json = Record<string, unknown>

const prefix = 'autoscaling.alpha.kubernetes.io/'

/** What is said in an annotation of v1, and where v2 has it. */
const annotated = [
  ['metrics', 'spec', 'metrics'],
  ['behavior', 'spec', 'behavior'],
  ['current-metrics', 'status', 'currentMetrics'],
  ['conditions', 'status', 'conditions'],
] as const

export function keptAutoscalers(v2: ResourceDescriptor): Kept {
  return { as: v2, read: (objects) => objects.map(toV1), write: toV2 }
}

/** The rules of v2 hold for v1; the use of CPU that is aimed at is the autoscaler's to choose if nobody does. */
export function v1Strategy(v2: Strategy): Strategy {
  return {
    applyDefaults(object) {
      if (isRecord(valueAt(object, '.spec')) && valueAt(object, '.spec.minReplicas') === undefined) setValueAt(object as ApiObject, '.spec.minReplicas', 1)
    },
    validate: (object, context) => v2.validate?.(toV2(object as ApiObject), context) ?? [],
  }
}

function recordAt(object: unknown, field: string): Json {
  const value = isRecord(object) ? object[field] : undefined
  return isRecord(value) ? value : {}
}

function isCpu(metric: unknown, path: string): boolean {
  return isRecord(metric) && metric['type'] === 'Resource' && valueAt(metric, '.resource.name') === 'cpu' && typeof valueAt(metric, path) === 'number'
}

function listAt(object: Json, field: string): unknown[] {
  return Array.isArray(object[field]) ? object[field] : []
}

/** The use of CPU out of a list of metrics, and the rest of them. */
function parted(metrics: readonly unknown[], path: string): { readonly cpu: unknown; readonly others: readonly unknown[] } {
  const cpu = metrics.find((metric) => isCpu(metric, path))
  return { cpu: cpu === undefined ? undefined : valueAt(cpu, path), others: metrics.filter((metric) => metric !== cpu) }
}

function toV1(object: ApiObject): ApiObject {
  const { metrics: _metrics, behavior, ...spec } = recordAt(object, 'spec')
  const { currentMetrics: _current, conditions, ...status } = recordAt(object, 'status')
  const wanted = parted(listAt(recordAt(object, 'spec'), 'metrics'), '.resource.target.averageUtilization')
  const current = parted(listAt(recordAt(object, 'status'), 'currentMetrics'), '.resource.current.averageUtilization')
  const annotations: Record<string, string> = { ...object.metadata.annotations }
  const note = (name: string, value: unknown): void => {
    if (value !== undefined && !(Array.isArray(value) && value.length === 0)) annotations[prefix + name] = JSON.stringify(value)
  }
  note('metrics', wanted.others)
  note('behavior', behavior)
  note('current-metrics', current.others)
  note('conditions', conditions)
  return {
    ...object,
    apiVersion: 'autoscaling/v1',
    metadata: { ...object.metadata, ...(Object.keys(annotations).length === 0 ? {} : { annotations }) },
    spec: { ...spec, ...(wanted.cpu === undefined ? {} : { targetCPUUtilizationPercentage: wanted.cpu }) },
    ...(object['status'] === undefined ? {} : { status: { currentReplicas: 0, ...status, ...(current.cpu === undefined ? {} : { currentCPUUtilizationPercentage: current.cpu }) } }),
  }
}

function toV2(object: ApiObject): ApiObject {
  const { targetCPUUtilizationPercentage: wanted, ...spec } = recordAt(object, 'spec')
  const { currentCPUUtilizationPercentage: current, ...status } = recordAt(object, 'status')
  const { annotations: _annotations, ...metadata } = object.metadata
  const said: Record<'spec' | 'status', Json> = { spec: {}, status: {} }
  const annotations = { ...object.metadata.annotations }
  for (const [name, part, field] of annotated) {
    const value = parsed(annotations[prefix + name])
    if (value === undefined) continue
    said[part][field] = value
    delete annotations[prefix + name]
  }
  const cpu = (value: unknown, at: 'target' | 'current'): unknown[] => (typeof value === 'number' ? [{ type: 'Resource', resource: { name: 'cpu', [at]: { ...(at === 'target' ? { type: 'Utilization' } : {}), averageUtilization: value } } }] : [])
  const metrics = [...listAt(said.spec, 'metrics'), ...cpu(wanted, 'target')]
  const currentMetrics = [...listAt(said.status, 'currentMetrics'), ...cpu(current, 'current')]
  return {
    ...object,
    apiVersion: 'autoscaling/v2',
    metadata: { ...metadata, ...(Object.keys(annotations).length === 0 ? {} : { annotations }) },
    spec: { ...spec, ...said.spec, ...(metrics.length === 0 ? {} : { metrics }) },
    ...(object['status'] === undefined ? {} : { status: { ...status, ...said.status, ...(currentMetrics.length === 0 ? {} : { currentMetrics }) } }),
  }
}

/** What an annotation holds; one that somebody spoiled stays an annotation. */
function parsed(text: string | undefined): unknown {
  if (text === undefined) return undefined
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    // Kept as it is.
    return undefined
  }
}
