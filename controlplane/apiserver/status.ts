// Errors as the API gives them: every refusal is a `Status` object with a reason that clients act upon.
// Wording follows k8s.io/apimachinery/pkg/api/errors and pkg/util/validation/field.
import type { FieldError } from './descriptor.ts'

export interface StatusCause {
  readonly reason?: string
  readonly message?: string
  readonly field?: string
}

export interface StatusDetails {
  readonly name?: string
  readonly group?: string
  readonly kind?: string
  readonly uid?: string
  readonly causes?: readonly StatusCause[]
  readonly retryAfterSeconds?: number
}

/** A refusal that becomes the `Status` of the reply. */
export class StatusError extends Error {
  readonly code: number
  readonly reason: string
  readonly details: StatusDetails | undefined

  constructor(code: number, reason: string, message: string, details?: StatusDetails) {
    super(message)
    this.name = 'StatusError'
    this.code = code
    this.reason = reason
    this.details = details
  }

  toStatus(): Record<string, unknown> {
    const { code, reason, message, details } = this
    return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, ...(details === undefined ? {} : { details }), code }
  }
}

/** What is talked about: group and plural, as in `deployments.apps`. */
interface GroupResource {
  readonly group: string
  readonly plural: string
}

interface GroupKind {
  readonly group: string
  readonly kind: string
}

/** `plural` in the core group, `plural.group` elsewhere. */
export function qualified({ group, plural }: GroupResource): string {
  return group === '' ? plural : `${plural}.${group}`
}

function detailsOf({ group, plural }: GroupResource, name: string): StatusDetails {
  return { ...(name === '' ? {} : { name }), ...(group === '' ? {} : { group }), kind: plural }
}

export function notFound(resource: GroupResource, name: string): StatusError {
  return new StatusError(404, 'NotFound', `${qualified(resource)} "${name}" not found`, detailsOf(resource, name))
}

/** The path names no resource. */
export function noSuchPath(): StatusError {
  return new StatusError(404, 'NotFound', 'the server could not find the requested resource', {})
}

export function alreadyExists(resource: GroupResource, name: string): StatusError {
  return new StatusError(409, 'AlreadyExists', `${qualified(resource)} "${name}" already exists`, detailsOf(resource, name))
}

export function conflict(resource: GroupResource, name: string, why = modifiedSince): StatusError {
  return new StatusError(409, 'Conflict', `Operation cannot be fulfilled on ${qualified(resource)} "${name}": ${why}`, detailsOf(resource, name))
}

const modifiedSince = 'the object has been modified; please apply your changes to the latest version and try again'

export function forbidden(resource: GroupResource, name: string, why: string, causes?: readonly StatusCause[]): StatusError {
  const what = name === '' ? `${qualified(resource)} is forbidden` : `${qualified(resource)} "${name}" is forbidden`
  return new StatusError(403, 'Forbidden', `${what}: ${why}`, { ...detailsOf(resource, name), ...(causes === undefined ? {} : { causes }) })
}

export function badRequest(message: string): StatusError {
  return new StatusError(400, 'BadRequest', message)
}

export function unauthorized(): StatusError {
  return new StatusError(401, 'Unauthorized', 'Unauthorized')
}

export function methodNotAllowed(resource: GroupResource, verb: string): StatusError {
  return new StatusError(405, 'MethodNotAllowed', `${verb} is not supported on resources of kind "${qualified(resource)}"`, detailsOf(resource, ''))
}

/** The revision asked for is no longer known: clients list again. */
export function expired(message: string): StatusError {
  return new StatusError(410, 'Expired', message)
}

export function tooLargeResourceVersion(wanted: number, current: number): StatusError {
  return new StatusError(504, 'Timeout', `Too large resource version: ${wanted}, current: ${current}`, {
    causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
    retryAfterSeconds: 1,
  })
}

export function unsupportedMediaType(given: string, supported: readonly string[]): StatusError {
  const message = `the body of the request was in an unknown format - accepted media types include: ${supported.join(', ')}`
  return new StatusError(415, 'UnsupportedMediaType', given === '' ? message : `${message} (given: ${given})`)
}

export function notAcceptable(supported: readonly string[]): StatusError {
  return new StatusError(406, 'NotAcceptable', `only the following media types are accepted: ${supported.join(', ')}`)
}

export function internalError(message: string): StatusError {
  return new StatusError(500, 'InternalError', `Internal error occurred: ${message}`, { causes: [{ message }] })
}

/** 422 with one cause per field. */
export function invalid({ group, kind }: GroupKind, name: string, errors: readonly FieldError[]): StatusError {
  const lines = errors.map((error) => `${error.field}: ${describe(error)}`)
  const list = lines.length === 1 ? lines[0] : `[${lines.join(', ')}]`
  return new StatusError(422, 'Invalid', `${group === '' ? kind : `${kind}.${group}`} "${name}" is invalid: ${list}`, {
    ...(name === '' ? {} : { name }),
    ...(group === '' ? {} : { group }),
    kind,
    causes: errors.map((error) => ({ reason: error.type, message: describe(error), field: error.field })),
  })
}

const phrases: Readonly<Record<FieldError['type'], string>> = {
  FieldValueRequired: 'Required value',
  FieldValueInvalid: 'Invalid value',
  FieldValueNotSupported: 'Unsupported value',
  FieldValueForbidden: 'Forbidden',
  FieldValueDuplicate: 'Duplicate value',
  FieldValueNotFound: 'Not found',
  FieldValueTooLong: 'Too long',
  FieldValueTooMany: 'Too many',
  FieldValueTypeInvalid: 'Invalid value',
}

/** `field.Error.ErrorBody`: the phrase, the value where that kind of error shows it, and the detail. */
function describe({ type, value, detail }: FieldError): string {
  const silent = type === 'FieldValueRequired' || type === 'FieldValueForbidden' || type === 'FieldValueTooLong'
  const shown = silent || value === undefined ? phrases[type] : `${phrases[type]}: ${JSON.stringify(value)}`
  return detail === '' ? shown : `${shown}: ${detail}`
}

/** The `Status` of something that went well without an object to show. */
export function success(details: StatusDetails): Record<string, unknown> {
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details }
}
