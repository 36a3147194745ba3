/** Taints of nodes and tolerations of pods. */
import type { Taint, Toleration } from '../../api/types.ts'

/** Whether a toleration covers a taint (core/v1 Toleration: an empty key with Exists covers all, an empty effect all effects). */
export function tolerates({ key = '', operator = 'Equal', value = '', effect }: Toleration, taint: Taint): boolean {
  if (effect !== undefined && (effect as string) !== '' && effect !== taint.effect) return false
  if (key !== '' && key !== taint.key) return false
  if (operator === 'Exists') return true
  return key !== '' && value === (taint.value ?? '')
}

/** The taints with one of the effects that no toleration covers. */
export function untolerated(taints: readonly Taint[] = [], tolerations: readonly Toleration[] = [], effects: readonly Taint['effect'][]): Taint[] {
  return taints.filter((taint) => effects.includes(taint.effect) && !tolerations.some((toleration) => tolerates(toleration, taint)))
}
