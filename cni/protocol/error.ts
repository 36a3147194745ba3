/** Errors as a plugin reports them (CNI specification 1.1.0, section 5, "Error"). */

/** The specification's codes, and ours from 100 on. */
export const errorCodes = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  /** The container is unknown or does not exist: the runtime need not clean up after it. */
  unknownContainer: 3,
  invalidEnvironment: 4,
  ioFailure: 5,
  undecodable: 6,
  invalidConfig: 7,
  tryAgainLater: 11,
  /** STATUS: no ADD can be served. */
  notAvailable: 50,
  internal: 100,
  /** The attachment is there already. */
  exists: 101,
  noAddress: 102,
  /** CHECK: the attachment is not as ADD left it. */
  notAsLeft: 103,
  /** The kernel refused. */
  kernel: 104,
  /** Another container has this port of the host. */
  portInUse: 105,
} as const

export type ErrorCode = keyof typeof errorCodes

export class CniError extends Error {
  override readonly name = 'CniError'
  readonly code: number
  readonly details: string | undefined

  constructor(code: ErrorCode | number, message: string, details?: string) {
    super(message)
    this.code = typeof code === 'number' ? code : errorCodes[code]
    this.details = details
  }
}

/** Any error as a CniError: the kernel's refusals and failed files get their own codes. */
export function asCniError(error: unknown): CniError {
  if (error instanceof CniError) return error
  const { name, message, code } = error as NodeJS.ErrnoException
  if (name === 'NetlinkError' || name === 'SystemCallError') return new CniError('kernel', message)
  if (typeof code === 'string' && /^E[A-Z]+$/.test(code)) return new CniError('ioFailure', message)
  return new CniError('internal', message ?? String(error))
}

/** The error object that goes to standard output. */
export function errorObject(error: CniError, cniVersion: string): Record<string, unknown> {
  return { cniVersion, code: error.code, msg: error.message, ...(error.details === undefined ? {} : { details: error.details }) }
}
