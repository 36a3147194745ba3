// NodeRestriction: with its certificate a node writes what is its own and nothing of another node
// (plugin/pkg/admission/noderestriction).
import type { KubeObject, Pod } from '../../../api/types.ts'
import type { UserInfo } from '../descriptor.ts'
import { equalJson, isRecord, valueAt } from '../object.ts'
import type { ApiObject } from '../object.ts'
import { forbidden } from '../status.ts'
import type { AdmissionRequest } from './request.ts'

const prefix = 'system:node:'
const leaseNamespace = 'kube-node-lease'
const mirror = 'kubernetes.io/config.mirror'

type Labels = Readonly<Record<string, string>>

/** The node whose certificate a user shows, if it is one. */
function nodeOf({ name, groups }: UserInfo): string | undefined {
  return groups.includes('system:nodes') && name.startsWith(prefix) ? name.slice(prefix.length) : undefined
}

/** Refuses what a node has no business with. */
export function checkNodeWrite(request: AdmissionRequest): void {
  const { descriptor, name, context, namespace, operation } = request
  const node = nodeOf(context.user)
  if (node === undefined || operation === 'CONNECT') return
  const refuse = (why: string): never => {
    throw forbidden(descriptor, name, why)
  }
  switch (`${descriptor.plural}.${descriptor.group}`) {
    case 'nodes.':
      if (name !== node) refuse(`node ${JSON.stringify(node)} is not allowed to modify node ${JSON.stringify(name)}`)
      checkNode(node, request, refuse)
      return
    case 'pods.':
      checkPod(node, request, refuse)
      return
    case 'leases.coordination.k8s.io':
      if (namespace !== leaseNamespace) refuse(`can only access leases in the ${JSON.stringify(leaseNamespace)} system namespace`)
      if (name !== node) refuse('can only access node lease with the same name as the requesting node')
      return
    case 'csinodes.storage.k8s.io':
      if (name !== node) refuse('can only access CSINode with the same name as the requesting node')
      return
    case 'resourceslices.resource.k8s.io':
      if (valueAt(request.object ?? request.old, '.spec.nodeName') !== node) refuse('can only create or delete ResourceSlice with the same NodeName as the requesting node')
  }
}

type Refuse = (why: string) => never

function checkNode(node: string, { operation, object, old }: AdmissionRequest, refuse: Refuse): void {
  if (object === undefined) return
  const changed = changedLabels(object.metadata.labels, old?.metadata.labels).filter(isRestricted).toSorted()
  const who = `node ${JSON.stringify(node)} is not allowed to`
  if (operation === 'CREATE') {
    if (changed.length > 0) refuse(`${who} set the following labels: ${changed.join(', ')}`)
    return
  }
  if (changed.length > 0) refuse(`${who} modify labels: ${changed.join(', ')}`)
  const taints = (of: ApiObject | undefined): unknown => valueAt(of, '.spec.taints') ?? []
  if (!equalJson(taints(object), taints(old))) refuse(`${who} modify taints`)
  if (!equalJson(object.metadata.ownerReferences ?? [], old?.metadata.ownerReferences ?? [])) refuse(`${who} modify ownerReferences`)
}

function changedLabels(labels: Labels = {}, old: Labels = {}): string[] {
  return [...new Set([...Object.keys(labels), ...Object.keys(old)])].filter((name) => (Object.hasOwn(labels, name) ? labels[name] : undefined) !== (Object.hasOwn(old, name) ? old[name] : undefined))
}

const own = new Set([
  'kubernetes.io/hostname', 'kubernetes.io/os', 'kubernetes.io/arch', 'beta.kubernetes.io/os', 'beta.kubernetes.io/arch', 'beta.kubernetes.io/instance-type', 'node.kubernetes.io/instance-type', 'topology.kubernetes.io/zone',
  'topology.kubernetes.io/region', 'failure-domain.beta.kubernetes.io/zone', 'failure-domain.beta.kubernetes.io/region',
])

/** Labels by which others decide what may run on a node are not for the node to set. */
function isRestricted(label: string): boolean {
  const [namespace = ''] = label.includes('/') ? label.split('/') : []
  const isOf = (domain: string): boolean => namespace === domain || namespace.endsWith(`.${domain}`)
  if (isOf('node-restriction.kubernetes.io')) return true
  if (!isOf('kubernetes.io') && !isOf('k8s.io')) return false
  return !own.has(label) && !isOf('kubelet.kubernetes.io') && !isOf('node.kubernetes.io')
}

function checkPod(node: string, { operation, subresource, object, old }: AdmissionRequest, refuse: Refuse): void {
  const quoted = JSON.stringify(node)
  if (subresource === 'eviction' || operation === 'DELETE' || old !== undefined) {
    const what = subresource === 'eviction' ? 'evict pods' : operation === 'DELETE' ? 'delete pods' : 'update pod status for pods'
    // Of an eviction, the pod itself is looked at when it is deleted.
    if (old !== undefined && nodeNameOf(old) !== node) refuse(`node ${quoted} can only ${what} with spec.nodeName set to itself`)
    if (operation === 'UPDATE' && !equalJson(object?.metadata.labels ?? {}, old?.metadata.labels ?? {})) refuse(`node ${quoted} cannot update labels through pod status`)
    return
  }
  if (object === undefined || subresource !== '') return
  if (object.metadata.annotations?.[mirror] === undefined) refuse(`pod does not have ${JSON.stringify(mirror)} annotation, node ${quoted} can only create mirror pods`)
  if (nodeNameOf(object) !== node) refuse(`node ${quoted} can only create pods with spec.nodeName set to itself`)
  const { spec } = object as unknown as Pod
  if ((spec.serviceAccountName ?? '') !== '') refuse(`node ${quoted} can not create pods that reference a service account`)
  for (const [kind, isReferenced] of references(spec)) if (isReferenced) refuse(`node ${quoted} can not create pods that reference ${kind}`)
  const owners = object.metadata.ownerReferences ?? []
  if (owners.some((owner) => owner.kind !== 'Node' || owner.name !== node)) refuse(`node ${quoted} can only create pods with an owner reference set to itself`)
}

/** What a mirror pod must not draw in: its node would get to read it. */
function references(spec: Pod['spec']): readonly (readonly [string, boolean])[] {
  const text = JSON.stringify({ ...spec, containers: [...spec.containers, ...(spec.initContainers ?? [])] })
  const has = (...fields: readonly string[]): boolean => fields.some((field) => text.includes(`"${field}":`))
  return [
    ['secrets', has('secret', 'secretName', 'secretRef', 'secretKeyRef', 'imagePullSecrets')],
    ['configmaps', has('configMap', 'configMapRef', 'configMapKeyRef')],
    ['persistentvolumeclaims', has('persistentVolumeClaim')],
    ['serviceaccount tokens', has('serviceAccountToken')],
  ]
}

/** Refuses a token for a service account unless it is for a pod that runs on the node. */
export function checkNodeToken(pod: ApiObject | undefined, user: UserInfo): void {
  const node = nodeOf(user)
  if (node === undefined || (pod !== undefined && nodeNameOf(pod) === node)) return
  throw forbidden({ group: '', plural: 'serviceaccounts' }, '', pod === undefined ? 'node requested token not bound to a pod' : 'node requested token bound to a pod scheduled on a different node')
}

function nodeNameOf(pod: KubeObject): string {
  const spec = (pod as ApiObject)['spec']
  const name = isRecord(spec) ? spec['nodeName'] : undefined
  return typeof name === 'string' ? name : ''
}
