/** Label and field selectors, as objects (in specs) and as text (in queries). */
import type { LabelSelector, LabelSelectorRequirement } from './types.ts'

export type Labels = Readonly<Record<string, string>>

/** Whether labels satisfy a selector object. An absent selector matches nothing, an empty one everything (LabelSelectorAsSelector). */
export function matchesLabelSelector(selector: LabelSelector | undefined, labels: Labels = {}): boolean {
  if (selector === undefined) return false
  const { matchLabels = {}, matchExpressions = [] } = selector
  return matchesLabels(matchLabels, labels) && matchExpressions.every((requirement) => matchesRequirement(requirement, labels))
}

/** Whether every pair of `wanted` is among the labels: the selector form of Services. */
export function matchesLabels(wanted: Labels, labels: Labels = {}): boolean {
  for (const key in wanted) if (labels[key] !== wanted[key]) return false
  return true
}

function matchesRequirement({ key, operator, values = [] }: LabelSelectorRequirement, labels: Labels): boolean {
  const value = labels[key]
  switch (operator) {
    case 'In': return value !== undefined && values.includes(value)
    case 'NotIn': return value === undefined || !values.includes(value)
    case 'Exists': return value !== undefined
    case 'DoesNotExist': return value === undefined
  }
}

/** A selector object as query text: `app=web,tier in (a,b),!old`. */
export function formatLabelSelector({ matchLabels = {}, matchExpressions = [] }: LabelSelector): string {
  const terms = Object.entries(matchLabels).map(([key, value]) => `${key}=${value}`)
  for (const { key, operator, values = [] } of matchExpressions) {
    if (operator === 'Exists') terms.push(key)
    else if (operator === 'DoesNotExist') terms.push(`!${key}`)
    else terms.push(`${key} ${operator === 'In' ? 'in' : 'notin'} (${values.join(',')})`)
  }
  return terms.join(',')
}

/** Labels as a selector, sorted, so that equal labels give equal text. */
export function formatLabels(labels: Labels): string {
  return Object.entries(labels).map(([key, value]) => `${key}=${value}`).sort().join(',')
}

const term = /^(!)?\s*([A-Za-z0-9./_-]+)\s*(?:(==|=|!=)\s*([A-Za-z0-9._-]*)|\s(in|notin)\s*\(([^()]*)\))?$/

/** Reads query text into a selector object. Throws on what it cannot read. */
export function parseLabelSelector(text: string): LabelSelector {
  const matchExpressions: LabelSelectorRequirement[] = []
  for (const part of text.split(/,(?![^(]*\))/)) {
    if (part.trim() === '') continue
    const match = term.exec(part.trim())
    if (match === null) throw new Error(`Cannot read label selector ${JSON.stringify(text)}: "${part.trim()}" is not key, !key, key=value, key!=value, key in (…) or key notin (…)`)
    const [, not, key = '', operator, value = '', setOperator, set = ''] = match
    if (not === '!') matchExpressions.push({ key, operator: 'DoesNotExist' })
    else if (setOperator !== undefined) matchExpressions.push({ key, operator: setOperator === 'in' ? 'In' : 'NotIn', values: set.split(',').map((one) => one.trim()) })
    else if (operator === undefined) matchExpressions.push({ key, operator: 'Exists' })
    else matchExpressions.push({ key, operator: operator === '!=' ? 'NotIn' : 'In', values: [value] })
  }
  return { matchExpressions }
}
