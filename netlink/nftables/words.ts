/** What an operation is about, in the words of errors. */
import type { What } from '../socket.ts'
import type { ElementSpec, Operation, TableId } from './types.ts'
import { formatKey } from './values.ts'

/** A table as it is spoken of: `ip fairway-proxy`. */
export function describeTable({ family, name }: TableId): string {
  return `${family} ${name}`
}

/** An operation as it is spoken of; of those on elements the one in question, where it is known. */
export function describe(operation: Operation, element?: ElementSpec): What {
  const { table } = operation
  const within = (name: string): string => `${name} in table ${describeTable(table)}`
  switch (operation.kind) {
    case 'addTable':
      return { operation: 'add table', object: describeTable(table) }
    case 'deleteTable':
      return { operation: 'delete table', object: describeTable(table) }
    case 'flushTable':
      return { operation: 'flush table', object: describeTable(table) }
    case 'addChain':
      return { operation: 'add chain', object: within(operation.chain.name) }
    case 'deleteChain':
      return { operation: 'delete chain', object: within(operation.chain) }
    case 'flushChain':
      return { operation: 'flush chain', object: within(operation.chain) }
    case 'addRule':
    case 'insertRule':
      return { operation: 'add rule', object: `${operation.rule.comment === undefined ? '' : `"${operation.rule.comment}" `}to ${within(operation.chain)}` }
    case 'replaceRule':
      return { operation: 'replace rule', object: `${operation.handle} of ${within(operation.chain)}` }
    case 'deleteRule':
      return { operation: 'delete rule', object: `${operation.handle} of ${within(operation.chain)}` }
    case 'addSet':
      return { operation: operation.set.data === undefined ? 'add set' : 'add map', object: within(operation.set.name) }
    case 'deleteSet':
      return { operation: 'delete set', object: within(operation.set) }
    case 'flushSet':
      return { operation: 'flush set', object: within(operation.set) }
    case 'addElements':
      return { operation: 'add element', object: `${describeElement(operation.elements, element)} to ${within(operation.set.name)}` }
    case 'deleteElements':
      return { operation: 'delete element', object: `${describeElement(operation.elements, element)} of ${within(operation.set.name)}` }
  }
}

function describeElement(elements: readonly ElementSpec[], element: ElementSpec | undefined): string {
  const [first] = elements
  if (element !== undefined) return formatKey(element.key)
  return elements.length === 1 && first !== undefined ? formatKey(first.key) : `(one of ${elements.length})`
}
