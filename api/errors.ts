/** What an API server refused, and the questions callers ask of it. */
import type { Status, StatusDetails } from './types.ts'

/** A response that was not a success, with the server's own words. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  /** The HTTP status. */
  readonly status: number
  /** The machine-readable reason, such as `NotFound`; empty when the answer was no Status object. */
  readonly reason: string
  readonly details: StatusDetails | undefined
  /** How long the server asks us to wait. */
  readonly retryAfterMs: number | undefined

  constructor(status: number, body: Partial<Status> | undefined, doing: string, retryAfterMs?: number) {
    super(`Cannot ${doing}: ${body?.message ?? `the API server answered ${status}`}`)
    this.status = status
    this.reason = body?.reason ?? ''
    this.details = body?.details
    this.retryAfterMs = retryAfterMs ?? (body?.details?.retryAfterSeconds === undefined ? undefined : body.details.retryAfterSeconds * 1000)
  }
}

function has(error: unknown, status: number, ...reasons: string[]): boolean {
  return error instanceof ApiError && error.status === status && (reasons.length === 0 || reasons.includes(error.reason))
}

export function isNotFound(error: unknown): boolean {
  return has(error, 404)
}

/** Someone else wrote in between: read again and retry. */
export function isConflict(error: unknown): boolean {
  return has(error, 409, 'Conflict')
}

export function isAlreadyExists(error: unknown): boolean {
  return has(error, 409, 'AlreadyExists')
}

/** The revision asked for is compacted: list again. */
export function isGone(error: unknown): boolean {
  return has(error, 410)
}

export function isForbidden(error: unknown): boolean {
  return has(error, 403)
}

export function isInvalid(error: unknown): boolean {
  return has(error, 422)
}

/** No API server answered, or it asks to come back later. */
export function isUnavailable(error: unknown): boolean {
  if (error instanceof ApiError) return error.status === 429 || error.status >= 500
  return error instanceof Error && 'code' in error
}

/** The namespace is being deleted: nothing can be created in it any more. */
export function isNamespaceTerminating(error: unknown): boolean {
  return has(error, 403) && error instanceof ApiError && error.details?.causes?.some((cause) => cause.reason === 'NamespaceTerminating') === true
}
