/** ControllerRevisions: the pod templates that a DaemonSet or StatefulSet had, for `kubectl rollout history` and `undo`. */
import { isAlreadyExists, isNotFound } from '../../api/client.ts'
import type { Client } from '../../api/client.ts'
import { controllerRevisions } from '../../api/resources.ts'
import type { Resource } from '../../api/resources.ts'
import type { ControllerRevision, KubeObject, PodTemplateSpec } from '../../api/types.ts'
import { equalJson, hashName } from './canonical.ts'
import { controllerReference } from './ownership.ts'
import type { OwnWrites } from './own-writes.ts'

export const revisionHashLabel = 'controller-revision-hash'

export function hashOf({ metadata }: KubeObject): string {
  return metadata.labels?.[revisionHashLabel] ?? ''
}

/** The revision of an owner's present template, and what there is to do for it to be the latest. Pure. */
export interface RevisionPlan {
  readonly current: ControllerRevision
  readonly write: 'create' | 'update' | undefined
  /** Beyond the history limit and used by no pod. */
  readonly forget: readonly ControllerRevision[]
}

export interface RevisionOwner<O extends KubeObject> {
  readonly owner: O
  readonly resource: Resource<O>
  readonly template: PodTemplateSpec
  readonly historyLimit: number
  readonly collisions: number
}

export function planRevisions<O extends KubeObject>({ owner, resource, template, historyLimit, collisions }: RevisionOwner<O>, revisions: readonly ControllerRevision[], usedHashes: ReadonlySet<string>): RevisionPlan {
  const data = { spec: { template: { ...template, $patch: 'replace' } } }
  const ordered = [...revisions].sort((a, b) => a.revision - b.revision)
  const latest = ordered.at(-1)?.revision ?? 0
  const same = ordered.findLast((revision) => equalJson(revision.data, data))
  const forgettable = ordered.filter((revision) => revision !== same && !usedHashes.has(hashOf(revision)))
  const forget = forgettable.slice(0, Math.max(0, ordered.length - (same === undefined ? 0 : 1) - historyLimit))
  if (same !== undefined) return same.revision === latest ? { current: same, write: undefined, forget } : { current: { ...same, revision: latest + 1 }, write: 'update', forget }
  const hash = hashName(data, collisions)
  const { name = '', namespace } = owner.metadata
  const current: ControllerRevision = {
    apiVersion: 'apps/v1', kind: 'ControllerRevision',
    metadata: {
      name: `${name.slice(0, 223)}-${hash}`, ...(namespace === undefined ? {} : { namespace }),
      labels: { ...template.metadata?.labels, [revisionHashLabel]: hash }, ownerReferences: [controllerReference(resource, owner)],
    },
    data, revision: latest + 1,
  }
  return { current, write: 'create', forget }
}

/** Writes it; resolves to whether the plan stood: not when another template has the same hash. */
export async function applyRevisions({ current, write, forget }: RevisionPlan, client: Client, own: OwnWrites<ControllerRevision>): Promise<boolean> {
  const { namespace, name = '' } = current.metadata
  try {
    if (write === 'create') own.wrote(await client.create(controllerRevisions, current))
    if (write === 'update') own.wrote(await client.update(controllerRevisions, current))
  } catch (error) {
    if (!isAlreadyExists(error)) throw error
    const present = await client.get(controllerRevisions, { namespace, name })
    if (!equalJson(present.data, current.data)) return false
    own.wrote(present)
  }
  for (const revision of forget) {
    const { name: old = '', uid = '' } = revision.metadata
    try {
      own.deleted(revision, await client.delete(controllerRevisions, { namespace, name: old }, { preconditions: { uid } }))
    } catch (error) {
      if (!isNotFound(error)) throw error
    }
  }
  return true
}
