// What schemas are called in the OpenAPI documents.
import type { ResourceDescriptor } from '../descriptor.ts'
import { definitionName } from './definitions.ts'

/** `io.k8s.api.core.v1.Pod` of `core.v1.Pod`. */
export function fullName(name: string): string {
  return name.startsWith('meta.') ? `io.k8s.apimachinery.pkg.apis.${name}` : `io.k8s.api.${name}`
}

/** The schema of a kind; of one that is not built in, its group backwards (`com.example.v1.Widget`). */
export function schemaName(kind: { readonly group: string; readonly version: string; readonly kind: string }): string {
  const name = definitionName(kind)
  return name === undefined ? [...kind.group.split('.').toReversed(), kind.version, kind.kind].join('.') : fullName(name)
}

/** The schema of a resource's list. */
export function listName(descriptor: ResourceDescriptor): string {
  const { kind, listKind = `${kind}List` } = descriptor
  return `${schemaName(descriptor).slice(0, -kind.length)}${listKind}`
}
