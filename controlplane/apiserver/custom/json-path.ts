// The part of JSONPath that printer columns use (k8s.io/client-go/util/jsonpath): fields, items, wildcards and filters by equality.
import { isRecord } from '../object.ts'

type Step =
  | { readonly of: 'field'; readonly name: string }
  | { readonly of: 'index'; readonly index: number }
  | { readonly of: 'all' }
  | { readonly of: 'filter'; readonly field: readonly string[]; readonly equal: boolean; readonly value: string }

const token = /^(?:\.?\[\?\(@((?:\.[\w-]+)+)\s*(==|!=)\s*(?:"([^"]*)"|'([^']*)'|([\w.-]+))\)\]|\.?\[(-?\d+)\]|\.?\[\*\]()|\.?\[['"]([^'"]+)['"]\]|\.((?:\\.|[^.[\\])+))/

/** The steps of a path; undefined when it is none that we read. */
export function parseJsonPath(path: string): readonly Step[] | undefined {
  const steps: Step[] = []
  let rest = path.replace(/^\{(.*)\}$/, '$1')
  while (rest !== '') {
    const match = token.exec(rest)
    if (match === null) return undefined
    const [whole, filter, sign, double, single, bare, index, all, quoted, name] = match
    if (filter !== undefined) steps.push({ of: 'filter', field: filter.slice(1).split('.'), equal: sign === '==', value: double ?? single ?? bare ?? '' })
    else if (index !== undefined) steps.push({ of: 'index', index: Number(index) })
    else if (all !== undefined || name === '*') steps.push({ of: 'all' })
    else steps.push({ of: 'field', name: quoted ?? (name ?? '').replaceAll(/\\(.)/g, '$1') })
    rest = rest.slice(whole.length)
  }
  return steps
}

/** All values that a path leads to. */
export function valuesAt(steps: readonly Step[], object: unknown): unknown[] {
  return steps.reduce<unknown[]>((values, step) => values.flatMap((value) => follow(step, value)), [object])
}

function follow(step: Step, value: unknown): unknown[] {
  switch (step.of) {
    case 'field':
      return isRecord(value) && Object.hasOwn(value, step.name) ? [value[step.name]] : []
    case 'index':
      return Array.isArray(value) && value.at(step.index) !== undefined ? [value.at(step.index)] : []
    case 'all':
      return Array.isArray(value) ? value : isRecord(value) ? Object.values(value) : []
    case 'filter':
      return Array.isArray(value) ? value.filter((item) => (String(step.field.reduce<unknown>((at, name) => (isRecord(at) ? at[name] : undefined), item)) === step.value) === step.equal) : []
  }
}
