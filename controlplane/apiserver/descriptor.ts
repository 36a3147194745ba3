// The shape of the resource table: what the API server has to know about a kind to serve it. Built-in and custom
// resources are the same thing to the request path; what differs stands in a `ResourceDescriptor`.
import type { Random } from '../../api/clock.ts'
import type { KubeObject } from '../../api/types.ts'
import type { ApiObject } from './object.ts'
import type { Schema } from './custom/schema.ts'

/** Who makes a request, as authentication found out. */
export interface UserInfo {
  readonly name: string
  readonly uid?: string
  readonly groups: readonly string[]
  readonly extra?: Readonly<Record<string, readonly string[]>>
}

/** One entry of `status.details.causes`; `type` is the reason Kubernetes uses (`field.ErrorType`). */
export interface FieldError {
  readonly field: string
  readonly type:
    | 'FieldValueRequired'
    | 'FieldValueInvalid'
    | 'FieldValueNotSupported'
    | 'FieldValueForbidden'
    | 'FieldValueDuplicate'
    | 'FieldValueNotFound'
    | 'FieldValueTooLong'
    | 'FieldValueTooMany'
    | 'FieldValueTypeInvalid'
  readonly detail: string
  readonly value?: unknown
}

/**
 * A column of Table output (`kubectl get`). `priority` 0 is always shown, 1 only with `-o wide`.
 * A `date` column returns an RFC 3339 time or an already rendered age; the server passes it on as it is.
 */
export interface Column {
  readonly name: string
  readonly type: 'string' | 'integer' | 'number' | 'date' | 'boolean'
  readonly format?: string
  readonly priority?: number
  readonly description?: string
  value(object: KubeObject, context: { readonly now: number }): string | number | boolean | null
}

/** What of an object others may not have as well: addresses, ports. */
export type ValuesOf = (object: KubeObject) => readonly string[]

/** What a strategy may know about the write it takes part in. */
export interface WriteContext {
  readonly user: UserInfo
  /** Milliseconds since the epoch. */
  readonly now: number
  readonly random: Random
  readonly dryRun: boolean
  /** Reads the watch cache. `resource` is `plural` for the core group and `plural.group` otherwise (`deployments.apps`). Never change the result. */
  lookup(resource: string, namespace: string | undefined, name: string): KubeObject | undefined
  /** All objects of a resource in a namespace, or in all with `undefined`. Never change the results. */
  list(resource: string, namespace?: string): readonly KubeObject[]
  /** Who of a resource has a value, by an index: in a time that does not grow with how many there are. `valuesOf` names the index: always the same function. */
  holders(resource: string, valuesOf: ValuesOf, value: string): readonly { readonly namespace: string; readonly name: string }[]
}

/** Side effects of a write that must be undone when it fails: cluster IPs, node ports. */
export interface Reservation {
  commit(): void
  rollback(): void
}

export interface DeleteOptions {
  readonly gracePeriodSeconds?: number
  readonly propagationPolicy?: 'Orphan' | 'Background' | 'Foreground'
  readonly orphanDependents?: boolean
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string }
  readonly dryRun?: readonly string[]
}

/**
 * The rules of one kind, called in this order: decode, `applyDefaults`, `prepareFor…`, admission, `validate…`, `reserve`, store.
 * Hooks may change `object` up to and including `reserve`; `old` is shared with every reader and must not be changed.
 * A hook that refuses outright throws a `StatusError`; field errors are returned.
 */
export interface Strategy<T extends KubeObject = KubeObject> {
  applyDefaults?(object: T): void
  prepareForCreate?(object: T, context: WriteContext): void
  prepareForUpdate?(object: T, old: T, context: WriteContext): void
  prepareForStatusUpdate?(object: T, old: T, context: WriteContext): void
  /** `old` is what is there, of an update: what was wrong before may be let through. */
  validate?(object: T, context: WriteContext, old?: T): FieldError[]
  /** Called beside `validate` on updates: only what depends on the old object (immutable fields). */
  validateUpdate?(object: T, old: T, context: WriteContext): FieldError[]
  validateStatusUpdate?(object: T, old: T, context: WriteContext): FieldError[]
  warnings?(object: T): string[]
  /** Allocates what the object needs (`old` is undefined on create). Exactly one of commit and rollback follows. */
  reserve?(object: T, old: T | undefined, context: WriteContext): Reservation
  /** The object is gone from the store: give back what it held. */
  release?(object: T): void
  /** Whether deletion happens now or after a grace period; without it, now. */
  gracefulDelete?(object: T, options: DeleteOptions, context: WriteContext): 'now' | { readonly graceSeconds: number }
}

export type Subresource =
  | 'status'
  | 'scale'
  | 'binding'
  | 'eviction'
  | 'log'
  | 'exec'
  | 'attach'
  | 'portforward'
  | 'proxy'
  | 'token'
  | 'approval'
  | 'finalize'
  | 'ephemeralcontainers'
  | 'resize'

export type Verb = 'create' | 'delete' | 'deletecollection' | 'get' | 'list' | 'patch' | 'update' | 'watch'

/** Field paths with a leading dot, as in a CustomResourceDefinition (`.spec.replicas`). */
export interface ScalePaths {
  readonly specReplicasPath: string
  readonly statusReplicasPath: string
  readonly labelSelectorPath?: string
}

/** How the objects of a version are kept, when they are kept otherwise than they are served. */
export interface Kept {
  /** As which they are in the store and in the cache. Objects of older versions may be among them. */
  readonly as: ResourceDescriptor
  /** What was kept, as it is served; may change what it is given. Fails as a whole. */
  read(objects: readonly ApiObject[]): readonly ApiObject[] | Promise<readonly ApiObject[]>
  /** An object as it is to be kept. */
  write(object: ApiObject): ApiObject | Promise<ApiObject>
}

export interface ResourceDescriptor {
  /** Empty for the core group. */
  readonly group: string
  readonly version: string
  readonly kind: string
  /** Default: `${kind}List`. */
  readonly listKind?: string
  readonly plural: string
  readonly singular: string
  readonly namespaced: boolean
  readonly shortNames?: readonly string[]
  readonly categories?: readonly string[]
  /** Default: all eight. */
  readonly verbs?: readonly Verb[]
  readonly subresources?: readonly Subresource[]
  readonly columns: readonly Column[]
  readonly strategy?: Strategy
  readonly scale?: ScalePaths
  /** Beside `metadata.name` and `metadata.namespace`, which every resource has. */
  readonly fieldSelectors?: Readonly<Record<string, (object: KubeObject) => string>>
  /** The fields of a custom resource; those of a built-in kind are found by its name. */
  readonly schema?: Schema
  /** Nothing is stored (reviews): the server answers a create itself. */
  readonly virtual?: true
  /** Without it, objects are kept as they are served. */
  readonly kept?: Kept
}
