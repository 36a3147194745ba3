/**
 * Errors of the kernel, in its own words.
 *
 * Every failure names the operation, the object, the errno and, where the kernel gave one, its explanation
 * (the extended acknowledgement, Linux 4.12 and newer).
 */
import { constants } from 'node:os'

const names: ReadonlyMap<number, string> = new Map(
  Object.entries(constants.errno)
    .filter(([name]) => name !== 'EWOULDBLOCK' && name !== 'EOPNOTSUPP')
    .map(([name, number]) => [number, name]),
)

/** Codes that Node's table lacks and that netlink answers with (include/uapi/asm-generic/errno.h). */
const further: Readonly<Record<number, string>> = { 95: 'EOPNOTSUPP', 22: 'EINVAL', 85: 'ERESTART', 524: 'ENOTSUPP' }

/** 2 → 'ENOENT'. Takes negative numbers too, as netlink writes them. */
export function errnoName(errno: number): string {
  const number = Math.abs(errno)
  return further[number] ?? names.get(number) ?? `errno ${number}`
}

/** 'ENOENT' → 2. */
export function errnoNumber(name: string): number {
  if (name === 'EOPNOTSUPP') return 95
  const number = (constants.errno as Readonly<Record<string, number>>)[name]
  if (number === undefined) throw new TypeError(`Cannot tell the number of ${name}: no such error name`)
  return number
}

/** A system call that failed. Its `code` is a name as Node's own errors carry it. */
export class SystemCallError extends Error {
  readonly syscall: string
  readonly errno: number
  readonly code: string

  constructor(syscall: string, object: string, errno: number) {
    const code = errnoName(errno)
    super(`Cannot ${syscall} ${object}: ${code}`)
    this.name = 'SystemCallError'
    this.syscall = syscall
    this.errno = errno
    this.code = code
  }
}

/**
 * A request that the kernel refused.
 *
 *     NetlinkError: Cannot add route 10.42.1.0/24 via vxlan0: ENETUNREACH Nexthop has invalid gateway
 */
export class NetlinkError extends Error {
  /** what was tried, such as `add route` */
  readonly operation: string
  /** to what, such as `10.42.1.0/24 via vxlan0` */
  readonly object: string
  /** positive errno; 0 where the answer itself was the trouble */
  readonly errno: number
  /** name of the errno, such as `ENOENT` */
  readonly code: string
  /** the kernel's words, where it had any */
  readonly kernelMessage: string | undefined
  /** offset of the offending attribute in the request, from its nlmsghdr */
  readonly offset: number | undefined

  constructor(operation: string, object: string, errno: number, kernelMessage?: string, offset?: number) {
    const code = errnoName(errno)
    super(`Cannot ${operation} ${object}: ${code}${kernelMessage === undefined ? '' : ` ${kernelMessage}`}`)
    this.name = 'NetlinkError'
    this.operation = operation
    this.object = object
    this.errno = Math.abs(errno)
    this.code = code
    this.kernelMessage = kernelMessage
    this.offset = offset
  }
}

/** A message that does not have the shape its layout says. */
export class LayoutError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'LayoutError'
  }
}

function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return (error instanceof NetlinkError || error instanceof SystemCallError) && codes.includes(error.code)
}

/** The object is there already (EEXIST). */
export function isExists(error: unknown): boolean {
  return hasCode(error, 'EEXIST')
}

/** There is no such object (ENOENT, ENODEV, ESRCH, EADDRNOTAVAIL: the word differs per family). */
export function isNotFound(error: unknown): boolean {
  return hasCode(error, 'ENOENT', 'ENODEV', 'ESRCH', 'EADDRNOTAVAIL', 'ENXIO')
}

/** The object is in use (EBUSY), or another writer was faster (EAGAIN, ERESTART). */
export function isBusy(error: unknown): boolean {
  return hasCode(error, 'EBUSY', 'EAGAIN', 'ERESTART')
}

/** The caller may not do this (EPERM, EACCES). */
export function isNotPermitted(error: unknown): boolean {
  return hasCode(error, 'EPERM', 'EACCES')
}

/** The kernel was built without it (EOPNOTSUPP, EPROTONOSUPPORT, EAFNOSUPPORT). */
export function isUnsupported(error: unknown): boolean {
  return hasCode(error, 'EOPNOTSUPP', 'EPROTONOSUPPORT', 'EAFNOSUPPORT', 'ENOTSUPP')
}
