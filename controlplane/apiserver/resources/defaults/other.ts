// Defaults of the kinds that need few.
import type { AnyObject, Endpoints, EndpointSlice, LimitRange, NetworkPolicy, Resources, RoleBinding } from '../../../../api/types.ts'
import { isRecord } from '../../object.ts'

type Json = Record<string, unknown>

function recordAt(object: AnyObject, field: string): Json {
  return (object[field] ??= {}) as Json
}

function recordsAt(object: Json, field: string): Json[] {
  const list = object[field]
  return Array.isArray(list) ? list.filter(isRecord) : []
}

export function defaultEndpoints({ subsets }: Endpoints): void {
  for (const { ports } of subsets ?? []) for (const port of ports ?? []) port.protocol ??= 'TCP'
}

export function defaultEndpointSlice({ ports }: EndpointSlice): void {
  for (const port of ports ?? []) {
    port.name ??= ''
    port.protocol ??= 'TCP'
  }
}

const accessGroup = 'rbac.authorization.k8s.io'

export function defaultRoleBinding(binding: RoleBinding): void {
  const { subjects } = binding
  const roleRef = (binding.roleRef ??= { apiGroup: '', kind: 'Role', name: '' })
  roleRef.apiGroup ||= accessGroup
  for (const subject of subjects ?? []) {
    if (subject.kind === 'User' || subject.kind === 'Group') subject.apiGroup ??= accessGroup
  }
}

export function defaultNetworkPolicy(policy: NetworkPolicy): void {
  const spec = (policy.spec ??= {})
  spec.podSelector ??= {}
  spec.policyTypes ??= (spec.egress ?? []).length > 0 ? ['Ingress', 'Egress'] : ['Ingress']
  for (const { ports } of [...(spec.ingress ?? []), ...(spec.egress ?? [])]) for (const port of ports ?? []) port.protocol ??= 'TCP'
}

export function defaultIngressClass(ingressClass: AnyObject): void {
  const parameters = recordAt(ingressClass, 'spec')['parameters']
  if (isRecord(parameters)) parameters['scope'] ??= 'Cluster'
}

export function defaultAutoscaler(autoscaler: AnyObject): void {
  const spec = recordAt(autoscaler, 'spec')
  spec['minReplicas'] ??= 1
  if (recordsAt(spec, 'metrics').length === 0) spec['metrics'] = [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } } }]
  if (!isRecord(spec['behavior'])) return
  // Who says anything of how to scale has said everything: the rest is filled in, and shown.
  spec['behavior'] = {
    scaleUp: {
      stabilizationWindowSeconds: 0, selectPolicy: 'Max',
      policies: [{ type: 'Pods', value: 4, periodSeconds: 15 }, { type: 'Percent', value: 100, periodSeconds: 15 }],
      ...(isRecord(spec['behavior']['scaleUp']) ? spec['behavior']['scaleUp'] : {}),
    },
    scaleDown: { selectPolicy: 'Max', policies: [{ type: 'Percent', value: 100, periodSeconds: 15 }], ...(isRecord(spec['behavior']['scaleDown']) ? spec['behavior']['scaleDown'] : {}) },
  }
}

export function defaultPersistentVolume(volume: AnyObject): void {
  const spec = recordAt(volume, 'spec')
  spec['persistentVolumeReclaimPolicy'] ??= 'Retain'
  spec['volumeMode'] ??= 'Filesystem'
  if (isRecord(spec['hostPath'])) spec['hostPath']['type'] ??= ''
}

export function defaultStorageClass(storageClass: AnyObject): void {
  storageClass['reclaimPolicy'] ??= 'Delete'
  storageClass['volumeBindingMode'] ??= 'Immediate'
}

export function defaultPriorityClass(priorityClass: AnyObject): void {
  priorityClass['value'] ??= 0
  priorityClass['preemptionPolicy'] ??= 'PreemptLowerPriority'
}

export function defaultCSIDriver(driver: AnyObject): void {
  const spec = recordAt(driver, 'spec')
  spec['attachRequired'] ??= true
  spec['fsGroupPolicy'] ??= 'ReadWriteOnceWithFSType'
  spec['podInfoOnMount'] ??= false
  spec['requiresRepublish'] ??= false
  spec['storageCapacity'] ??= false
  spec['seLinuxMount'] ??= false
  spec['volumeLifecycleModes'] ??= ['Persistent']
}

/** A limit without a default is its maximum, and a request without one its limit or minimum. */
export function defaultLimitRange(range: LimitRange): void {
  for (const item of (range.spec ??= { limits: [] }).limits ?? []) {
    if (item.type !== 'Container') continue
    const limits: Resources = { ...item.max, ...item.default }
    const requests: Resources = { ...item.min, ...limits, ...item.defaultRequest }
    if (Object.keys(limits).length > 0) item.default = limits
    if (Object.keys(requests).length > 0) item.defaultRequest = requests
  }
}
