/**
 * Whether what is there does what is wanted, however either is spelled.
 */
import { isDeepStrictEqual } from 'node:util'
import { compile } from './compile.ts'
import { ruleMessage } from './layouts.ts'
import { encodeSet } from './operations.ts'
import type { RuleSpec, SetSpec } from './types.ts'

/** The same expressions in the kernel, and the same comment. */
export function sameRule(a: RuleSpec, b: RuleSpec): boolean {
  const bytes = ({ statements }: RuleSpec): Buffer => ruleMessage.encode({ header: {}, attributes: { expressions: compile(statements) } })
  return a.comment === b.comment && bytes(a).equals(bytes(b))
}

/** The same key, data and properties: a set whose elements can be adopted. Of a set that is none of ours, nothing is the same. */
export function sameSet(a: SetSpec, b: SetSpec): boolean {
  return a.key.length > 0 && b.key.length > 0 && isDeepStrictEqual(encodeSet(a), encodeSet(b))
}
