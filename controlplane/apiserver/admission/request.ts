// A change as those see it who decide about it (k8s.io/apiserver/pkg/admission, Attributes).
import type { ResourceDescriptor, WriteContext } from '../descriptor.ts'
import type { ApiObject } from '../object.ts'

export type Operation = 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT'

export interface GroupVersionKind {
  readonly group: string
  readonly version: string
  readonly kind: string
}

/** What is known of the client's request; of what the server does of itself there is none, and no webhook or policy is asked. */
export interface Origin {
  /** The fields of CreateOptions, UpdateOptions or DeleteOptions. */
  readonly options: Readonly<Record<string, unknown>>
  /** For the audit log. */
  readonly annotate: (key: string, value: string) => void
}

export interface AdmissionRequest {
  readonly operation: Operation
  readonly descriptor: ResourceDescriptor
  /** Empty for the object itself. */
  readonly subresource: string
  /** Of `object`: a Scale for `deployments/scale`. */
  readonly kind: GroupVersionKind
  readonly namespace: string
  readonly name: string
  /** Undefined when it is deleted. Those who may change it do so in place, or put another in its place. */
  object: ApiObject | undefined
  /** Shared: never to be changed. */
  readonly old: ApiObject | undefined
  readonly context: WriteContext
  readonly warn: (warning: string) => void
  readonly origin: Origin | undefined
}

/** What was counted for an object; given back when it is not written after all. */
export interface Charge {
  release(): Promise<void>
}

export interface Admission {
  /** Those that may change an object, in Kubernetes' order. Throws a `StatusError` to refuse. */
  mutate(request: AdmissionRequest): Promise<void> | undefined
  /** Those that may only refuse; the object is as it is going to be. */
  validate(request: AdmissionRequest): Promise<Charge | undefined> | undefined
}
