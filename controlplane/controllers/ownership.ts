/** Whose an object is: one controller at most, named in its owner references; orphans that match a selector are adopted. */
import type { Client } from '../../api/client.ts'
import type { Informer } from '../../api/informer.ts'
import type { Resource } from '../../api/resources.ts'
import { matchesLabelSelector } from '../../api/selectors.ts'
import type { KubeObject, LabelSelector, OwnerReference } from '../../api/types.ts'
import type { OwnWrites } from './own-writes.ts'

/** The reference to the controller of an object; undefined: an orphan. */
export function controllerOf({ metadata }: KubeObject): OwnerReference | undefined {
  return metadata.ownerReferences?.find((reference) => reference.controller === true)
}

export function isControlledBy(object: KubeObject, owner: KubeObject): boolean {
  return controllerOf(object)?.uid === owner.metadata.uid
}

export function controllerReference({ group, version, kind }: Resource<KubeObject>, { metadata }: KubeObject): OwnerReference {
  return { apiVersion: group === '' ? version : `${group}/${version}`, kind, name: metadata.name ?? '', uid: metadata.uid ?? '', controller: true, blockOwnerDeletion: true }
}

const index = 'controller'

/** Lets `claimable` find what a controller owns, or may adopt, without looking at everything. */
export function indexByController<T extends KubeObject>(informer: Informer<T>): void {
  informer.addIndex(index, (object) => [controllerOf(object)?.uid ?? `orphans of ${object.metadata.namespace ?? ''}`])
}

/** What `owner` controls, and the orphans of its namespace, our own latest writes among them. */
export function claimable<T extends KubeObject>(informer: Informer<T>, own: OwnWrites<T>, owner: KubeObject): T[] {
  const { uid = '', namespace = '' } = owner.metadata
  const cached = [...informer.byIndex(index, uid), ...informer.byIndex(index, `orphans of ${namespace}`)]
  return own.over(cached, (object) => object.metadata.namespace === namespace && (controllerOf(object) === undefined || isControlledBy(object, owner)))
}

export interface Claim<T> {
  readonly owned: T[]
  readonly adopt: T[]
  readonly release: T[]
}

/** Sorts candidates: what is ours, what may become ours, and what no longer matches (controller_ref_manager.go). */
export function planClaim<T extends KubeObject>(owner: KubeObject, selector: LabelSelector, candidates: readonly T[]): Claim<T> {
  const claim: Claim<T> = { owned: [], adopt: [], release: [] }
  const isGoing = owner.metadata.deletionTimestamp !== undefined
  for (const candidate of candidates) {
    const controller = controllerOf(candidate)
    const matches = matchesLabelSelector(selector, candidate.metadata.labels)
    if (controller?.uid === owner.metadata.uid) {
      if (matches) claim.owned.push(candidate)
      else if (!isGoing) claim.release.push(candidate)
    } else if (controller === undefined && matches && !isGoing && candidate.metadata.deletionTimestamp === undefined) {
      claim.adopt.push(candidate)
    }
  }
  return claim
}

export interface ClaimOptions<O extends KubeObject, T extends KubeObject> {
  readonly client: Client
  readonly own: OwnWrites<T>
  readonly owner: O
  readonly ownerResource: Resource<O>
  readonly resource: Resource<T>
}

/** Writes what the claim says; resolves to all that is owned then. */
export async function applyClaim<O extends KubeObject, T extends KubeObject>(claim: Claim<T>, options: ClaimOptions<O, T>): Promise<T[]> {
  const { owner } = options
  const owned = [...claim.owned]
  // The owner's own state is read afresh: one that was deleted meanwhile must adopt nothing.
  if (claim.adopt.length > 0 && (await isStillThere(options))) {
    const reference = controllerReference(options.ownerResource, owner)
    for (const object of claim.adopt) owned.push(await patchReferences(object, [reference], options))
  }
  for (const object of claim.release) await patchReferences(object, [{ $patch: 'delete', uid: owner.metadata.uid }], options)
  return owned
}

async function isStillThere<O extends KubeObject>({ client, owner, ownerResource }: Pick<ClaimOptions<O, KubeObject>, 'client' | 'owner' | 'ownerResource'>): Promise<boolean> {
  const { namespace, name = '', uid } = owner.metadata
  const current = await client.get(ownerResource, { namespace, name })
  return current.metadata.uid === uid && current.metadata.deletionTimestamp === undefined
}

async function patchReferences<T extends KubeObject>(object: T, ownerReferences: readonly unknown[], { client, own, resource }: Pick<ClaimOptions<KubeObject, T>, 'client' | 'own' | 'resource'>): Promise<T> {
  const { namespace, name = '', uid } = object.metadata
  const patched = await client.patch(resource, { namespace, name }, { metadata: { uid, ownerReferences } }, { type: 'strategic' })
  own.wrote(patched)
  return patched
}
