import { NetlinkError } from '../errors.ts'

/** include/linux/errno.h; Node does not know its number */
export const ERESTART = 85

/** Somebody changed nftables after the generation that `apply` was given (ERESTART): list and plan again. */
export function isStale(error: unknown): boolean {
  return error instanceof NetlinkError && error.errno === ERESTART
}
