/** A name and what stands at it. */
import type { ResourceRecord } from '../wire/index.ts'
import type { Validity } from './validity.ts'

export interface Node {
  readonly records: ReadonlyMap<number, readonly ResourceRecord[]>
  /** Addresses of what the SRV records point to. */
  readonly glue?: readonly ResourceRecord[]
}

/** Without a node the name does not exist; with a node without the asked type it has no data. */
export interface Lookup {
  readonly node: Node | undefined
  /** Undefined: not to be kept. */
  readonly validity: Validity | undefined
  /** Why there is no such name, for the asker's eyes (RFC 8914). */
  readonly why?: string
}

/** A name that exists because there are names below it (RFC 8020). */
export const emptyNode: Node = { records: new Map() }

/** A node of these records, by their types. */
export function nodeOf(records: readonly ResourceRecord[], glue?: readonly ResourceRecord[]): Node {
  const byType = Map.groupBy(records, ({ type }) => type)
  return glue === undefined || glue.length === 0 ? { records: byType } : { records: byType, glue }
}
