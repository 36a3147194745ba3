/** The replica sets of a deployment: which is the newest, how they are named, numbered and annotated. Pure. */
import { deployments, replicaSets } from '../../../api/resources.ts'
import type { Deployment, PodTemplateSpec, ReplicaSet } from '../../../api/types.ts'
import { equalJson, hashName } from '../canonical.ts'
import { controllerReference } from '../ownership.ts'

export const revisionAnnotation = 'deployment.kubernetes.io/revision'
export const desiredAnnotation = 'deployment.kubernetes.io/desired-replicas'
export const maxAnnotation = 'deployment.kubernetes.io/max-replicas'
const historyAnnotation = 'deployment.kubernetes.io/revision-history'
const hashLabel = 'pod-template-hash'

/** Annotations of the deployment that its replica sets do not get (deployment_util.go annotationsToSkip). */
const ownAnnotations = new Set(['kubectl.kubernetes.io/last-applied-configuration', revisionAnnotation, historyAnnotation, desiredAnnotation, maxAnnotation, 'deprecated.deployment.rollback.to'])

export function sizeOf({ spec }: ReplicaSet): number {
  return spec.replicas ?? 1
}

export function revisionOf({ metadata }: ReplicaSet): number {
  return Number(metadata.annotations?.[revisionAnnotation] ?? 0)
}

function withoutHash(template: PodTemplateSpec): PodTemplateSpec {
  const { [hashLabel]: _, ...labels } = template.metadata?.labels ?? {}
  const { creationTimestamp: _created, ...metadata } = template.metadata ?? {}
  return { ...template, metadata: { ...metadata, labels } }
}

export function isSameTemplate(a: PodTemplateSpec, b: PodTemplateSpec): boolean {
  return equalJson(withoutHash(a), withoutHash(b))
}

/** The set with the deployment's present template; the oldest if there are several, as every other observer decides. */
export function findNewSet({ spec }: Deployment, byAge: readonly ReplicaSet[]): ReplicaSet | undefined {
  return byAge.find((set) => isSameTemplate(set.spec.template, spec.template))
}

/** A set for the present template. The hash in name and labels keeps the pods of different sets apart. */
export function buildNewSet(deployment: Deployment, annotations: Record<string, string>, replicas: number): ReplicaSet {
  const { metadata, spec, status } = deployment
  const hash = hashName(withoutHash(spec.template), status?.collisionCount ?? 0)
  const template = { ...spec.template, metadata: { ...spec.template.metadata, labels: { ...spec.template.metadata?.labels, [hashLabel]: hash } } }
  return {
    apiVersion: 'apps/v1', kind: replicaSets.kind,
    metadata: {
      name: `${(metadata.name ?? '').slice(0, 252 - hash.length)}-${hash}`,
      ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
      labels: { ...template.metadata.labels }, annotations, ownerReferences: [controllerReference(deployments, deployment)],
    },
    spec: {
      replicas,
      ...(spec.minReadySeconds === undefined ? {} : { minReadySeconds: spec.minReadySeconds }),
      selector: { ...spec.selector, matchLabels: { ...spec.selector.matchLabels, [hashLabel]: hash } },
      template,
    },
  }
}

/** The annotations of a set with the numbers that later scaling goes by. */
export function sizeAnnotations(desired: number, most: number): Record<string, string> {
  return { [desiredAnnotation]: String(desired), [maxAnnotation]: String(most) }
}

/** The annotations of the newest set: the deployment's own, and its revision, one above all others. */
export function newSetAnnotations({ metadata }: Deployment, present: Readonly<Record<string, string>>, oldSets: readonly ReplicaSet[]): Record<string, string> {
  const inherited = Object.fromEntries(Object.entries(metadata.annotations ?? {}).filter(([name]) => !ownAnnotations.has(name)))
  const revision = Math.max(0, ...oldSets.map(revisionOf)) + 1
  const before = present[revisionAnnotation]
  const result = { ...present, ...inherited }
  if (before !== undefined && Number(before) >= revision) return result
  result[revisionAnnotation] = String(revision)
  // A set that became the newest again (a rollback) remembers the numbers it had.
  if (before !== undefined) result[historyAnnotation] = [...(present[historyAnnotation] ?? '').split(',').filter((part) => part !== ''), before].join(',')
  return result
}
