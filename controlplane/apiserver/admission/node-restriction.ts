// NodeRestriction: with its certificate a node writes what is its own and nothing of another node
// (plugin/pkg/admission/noderestriction).
import type { ResourceDescriptor, UserInfo } from '../descriptor.ts'
import { isRecord } from '../object.ts'
import type { ApiObject } from '../object.ts'
import { forbidden } from '../status.ts'

const prefix = 'system:node:'
const leaseNamespace = 'kube-node-lease'

/** The node whose certificate a user shows, if it is one. */
function nodeOf({ name, groups }: UserInfo): string | undefined {
  return groups.includes('system:nodes') && name.startsWith(prefix) ? name.slice(prefix.length) : undefined
}

/** Refuses a write of an object that is not the node's own. `old` is undefined when it is created. */
export function checkNodeWrite(descriptor: ResourceDescriptor, object: ApiObject, old: ApiObject | undefined, user: UserInfo): void {
  const node = nodeOf(user)
  if (node === undefined) return
  const { name = '', namespace } = object.metadata
  const refuse = (why: string): never => {
    throw forbidden(descriptor, name, `node "${node}" ${why}`)
  }
  if (descriptor.kind === 'Node' && name !== node) refuse('is not allowed to modify another node')
  if (descriptor.kind === 'Lease' && (namespace !== leaseNamespace || name !== node)) refuse('can only write its own lease in kube-node-lease')
  if (descriptor.kind !== 'Pod') return
  if (old === undefined && object.metadata.annotations?.['kubernetes.io/config.mirror'] === undefined) refuse('can only create mirror pods')
  if (nodeNameOf(old ?? object) !== node) refuse('can only write pods that run on it')
}

/** Refuses a token for a service account unless it is for a pod that runs on the node. */
export function checkNodeToken(pod: ApiObject | undefined, user: UserInfo): void {
  const node = nodeOf(user)
  if (node === undefined || (pod !== undefined && nodeNameOf(pod) === node)) return
  throw forbidden({ group: '', plural: 'serviceaccounts' }, '', `node "${node}" can only have tokens that are bound to pods that run on it`)
}

function nodeNameOf(pod: ApiObject): string {
  const name = isRecord(pod['spec']) ? pod['spec']['nodeName'] : undefined
  return typeof name === 'string' ? name : ''
}
