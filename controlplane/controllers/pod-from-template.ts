/** The pod that a controller makes of its template. */
import type { Random } from '../../api/clock.ts'
import type { Resource } from '../../api/resources.ts'
import type { KubeObject, Pod, PodTemplateSpec } from '../../api/types.ts'
import { randomName } from './canonical.ts'
import { controllerReference } from './ownership.ts'

/** A pod named after its owner, with a name of its own from the start: an answer that got lost cannot hide which pod it was. */
export function podFromTemplate<O extends KubeObject>(template: PodTemplateSpec, owner: O, resource: Resource<O>, random: Random): Pod {
  const generateName = `${owner.metadata.name ?? ''}-`
  const { labels, annotations, finalizers } = template.metadata ?? {}
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: randomName(generateName, random), generateName,
      ...(owner.metadata.namespace === undefined ? {} : { namespace: owner.metadata.namespace }),
      ...(labels === undefined ? {} : { labels: { ...labels } }),
      ...(annotations === undefined ? {} : { annotations: { ...annotations } }),
      ...(finalizers === undefined ? {} : { finalizers: [...finalizers] }),
      ownerReferences: [controllerReference(resource, owner)],
    },
    spec: structuredClone(template.spec),
  }
}
