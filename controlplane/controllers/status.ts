/** What goes into a status: conditions, one of each type, and counts. */
import type { Condition } from '../../api/types.ts'

export function conditionOf(conditions: readonly Condition[] | undefined, type: string): Condition | undefined {
  return conditions?.find((condition) => condition.type === type)
}

/** The conditions with one set: `lastTransitionTime` stays unless the status changes. */
export function withCondition(conditions: readonly Condition[], condition: Condition, now: string): Condition[] {
  const present = conditionOf(conditions, condition.type)
  const lastTransitionTime = present !== undefined && present.status === condition.status ? (present.lastTransitionTime ?? now) : now
  return [...conditions.filter(({ type }) => type !== condition.type), { ...condition, lastTransitionTime }]
}

export function withoutCondition(conditions: readonly Condition[], type: string): Condition[] {
  return conditions.filter((condition) => condition.type !== type)
}

/** Counts as the API writes them: a zero is left out (omitempty). */
export function counts<T extends Readonly<Record<string, number>>>(all: T): Partial<T> {
  return Object.fromEntries(Object.entries(all).filter(([, count]) => count !== 0)) as Partial<T>
}
