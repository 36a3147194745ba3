import { NetlinkError } from '../errors.ts'

/** Somebody changed nftables after the generation that `apply` was given (ERESTART): list and plan again. */
export function isStale(error: unknown): boolean {
  return error instanceof NetlinkError && error.code === 'ERESTART'
}
