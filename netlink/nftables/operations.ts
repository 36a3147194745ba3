/**
 * Operations to messages, and words for them when the kernel refuses one.
 */
import { LayoutError } from '../errors.ts'
import type { Encodable } from '../layout.ts'
import { NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from '../socket.ts'
import type { OutgoingMessage, What } from '../socket.ts'
import { compile, families } from './compile.ts'
import { writeElements } from './elements.ts'
import type { ElementMessage } from './elements.ts'
import { layoutOf, typeNumber } from './field-types.ts'
import {
  NFT_DATA_VERDICT, NFT_MSG_DELCHAIN, NFT_MSG_DELRULE, NFT_MSG_DELSET, NFT_MSG_DELSETELEM, NFT_MSG_DELTABLE, NFT_MSG_DESTROYCHAIN, NFT_MSG_DESTROYSET,
  NFT_MSG_DESTROYSETELEM, NFT_MSG_DESTROYTABLE, NFT_MSG_NEWCHAIN, NFT_MSG_NEWRULE, NFT_MSG_NEWSET, NFT_MSG_NEWSETELEM, NFT_MSG_NEWTABLE, NFT_SET_CONCAT, NFT_SET_EVAL,
  NFT_SET_INTERVAL, NFT_SET_MAP, NFT_SET_TIMEOUT, chainMessage, elementsMessage, ruleMessage, setMessage, tableMessage,
} from './layouts.ts'
import type { Operation, ChainSpec, RuleSpec, SetSpec, TableFamily, TableId } from './types.ts'
import { commentUserdata, setUserdata } from './userdata.ts'
import { formatKey, keyBytes } from './values.ts'

/** NFPROTO_* of a table's family (include/uapi/linux/netfilter.h). */
export const familyNumbers = { inet: 1, ...families } as const satisfies Readonly<Record<TableFamily, number>>

/** NF_INET_* hooks. */
export const hooks = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const
const NF_DROP = 0
const NF_ACCEPT = 1

/** A message of a transaction. */
export interface Step extends OutgoingMessage {
  /** what it does, told by the offset of the attribute that the kernel points at */
  what(offset: number | undefined): What
}

/** A table as it is spoken of: `ip fairway-proxy`. */
export function describeTable({ family, name }: TableId): string {
  return `${family} ${name}`
}

type Rest<K extends Operation['kind']> = Extract<Operation, { readonly kind: K }>

/** The messages of an operation, in order. */
export function* encodeOperation(operation: Operation): Generator<Step> {
  switch (operation.kind) {
    case 'addTable':
    case 'deleteTable':
      return yield tableStep(operation)
    case 'addChain':
    case 'deleteChain':
      return yield chainStep(operation)
    case 'addSet':
    case 'deleteSet':
      return yield setStep(operation)
    case 'flushTable':
      return yield step(NFT_MSG_DELRULE, 0, encodeRule(operation.table, undefined, {}), 'flush table', describeTable(operation.table))
    case 'flushChain':
      return yield step(NFT_MSG_DELRULE, 0, encodeRule(operation.table, operation.chain, {}), 'flush chain', inTable(operation.chain, operation.table))
    case 'flushSet':
      return yield step(NFT_MSG_DELSETELEM, 0, encodeFlush(operation.table, operation.set), 'flush set', inTable(operation.set, operation.table))
    case 'addElements':
    case 'deleteElements':
      return yield* elementSteps(operation)
    case 'addRule':
    case 'insertRule':
    case 'replaceRule':
    case 'deleteRule':
      return yield ruleStep(operation)
  }
}

function inTable(name: string, table: TableId): string {
  return `${name} in table ${describeTable(table)}`
}

function step(type: number, flags: number, payload: Uint8Array, operation: string, object: string): Step {
  return { type, flags, payload, what: () => ({ operation, object }) }
}

const adding = (exclusive: boolean | undefined): number => NLM_F_CREATE | (exclusive === true ? NLM_F_EXCL : 0)

function tableStep(operation: Rest<'addTable' | 'deleteTable'>): Step {
  const { table } = operation
  const header = { family: familyNumbers[table.family] }
  const object = describeTable(table)
  if (operation.kind === 'deleteTable') {
    return step(operation.ifExists === true ? NFT_MSG_DESTROYTABLE : NFT_MSG_DELTABLE, 0, tableMessage.encode({ header, attributes: { name: table.name } }), 'delete table', object)
  }
  const payload = tableMessage.encode({ header, attributes: { name: table.name, flags: 0, userdata: commentUserdata(operation.table.comment) } })
  return step(NFT_MSG_NEWTABLE, adding(operation.exclusive), payload, 'add table', object)
}

function chainStep(operation: Rest<'addChain' | 'deleteChain'>): Step {
  const { table } = operation
  const header = { family: familyNumbers[table.family] }
  if (operation.kind === 'deleteChain') {
    const payload = chainMessage.encode({ header, attributes: { table: table.name, name: operation.chain } })
    return step(operation.ifExists === true ? NFT_MSG_DESTROYCHAIN : NFT_MSG_DELCHAIN, 0, payload, 'delete chain', inTable(operation.chain, table))
  }
  const payload = chainMessage.encode({ header, attributes: { table: table.name, ...encodeChain(operation.chain) } })
  return step(NFT_MSG_NEWCHAIN, adding(operation.exclusive), payload, 'add chain', inTable(operation.chain.name, table))
}

function encodeChain({ name, base, comment }: ChainSpec): Encodable<typeof chainMessage>['attributes'] {
  return {
    name, userdata: commentUserdata(comment),
    ...(base === undefined ? {} : {
      hook: { number: hooks[base.hook], priority: base.priority >>> 0 },
      policy: base.policy === 'drop' ? NF_DROP : NF_ACCEPT,
      type: base.type,
    }),
  }
}

function encodeRule(table: TableId, chain: string | undefined, attributes: Encodable<typeof ruleMessage>['attributes']): Buffer {
  return ruleMessage.encode({ header: { family: familyNumbers[table.family] }, attributes: { table: table.name, chain, ...attributes } })
}

function encodeFlush(table: TableId, set: string): Buffer {
  return elementsMessage.encode({ header: { family: familyNumbers[table.family] }, attributes: { table: table.name, set } })
}

function ruleStep(operation: Rest<'addRule' | 'insertRule' | 'replaceRule' | 'deleteRule'>): Step {
  const { table, chain } = operation
  const body = ({ statements, comment }: RuleSpec): Encodable<typeof ruleMessage>['attributes'] => ({ expressions: compile(statements), userdata: commentUserdata(comment) })
  switch (operation.kind) {
    case 'deleteRule':
      return step(NFT_MSG_DELRULE, 0, encodeRule(table, chain, { handle: BigInt(operation.handle) }), 'delete rule', `${operation.handle} of ${inTable(chain, table)}`)
    case 'replaceRule':
      return step(NFT_MSG_NEWRULE, NLM_F_REPLACE, encodeRule(table, chain, { handle: BigInt(operation.handle), ...body(operation.rule) }), 'replace rule', `${operation.handle} of ${inTable(chain, table)}`)
    case 'insertRule':
      return step(NFT_MSG_NEWRULE, NLM_F_CREATE, encodeRule(table, chain, body(operation.rule)), 'insert rule', `in ${inTable(chain, table)}`)
    case 'addRule': {
      const position = operation.after ?? operation.before
      const flags = NLM_F_CREATE | (operation.before === undefined ? NLM_F_APPEND : 0)
      const payload = encodeRule(table, chain, { ...body(operation.rule), position: position === undefined ? undefined : BigInt(position) })
      return step(NFT_MSG_NEWRULE, flags, payload, 'add rule', `${operation.rule.comment === undefined ? '' : `"${operation.rule.comment}" `}to ${inTable(chain, table)}`)
    }
  }
}

/** NFTA_SET_ID names a set within its transaction; other messages here name sets by name. */
let setId = 0

function setStep(operation: Rest<'addSet' | 'deleteSet'>): Step {
  const { table } = operation
  const header = { family: familyNumbers[table.family] }
  if (operation.kind === 'deleteSet') {
    const payload = setMessage.encode({ header, attributes: { table: table.name, name: operation.set } })
    return step(operation.ifExists === true ? NFT_MSG_DESTROYSET : NFT_MSG_DELSET, 0, payload, 'delete set', inTable(operation.set, table))
  }
  setId = (setId % 0xffff) + 1
  const payload = setMessage.encode({ header, attributes: { table: table.name, id: setId, ...encodeSet(operation.set) } })
  return step(NFT_MSG_NEWSET, adding(operation.exclusive), payload, operation.set.data === undefined ? 'add set' : 'add map', inTable(operation.set.name, table))
}

/** What the kernel is told of a set, but for the table. */
export function encodeSet(set: SetSpec): Encodable<typeof setMessage>['attributes'] {
  const { name, key, data, size, defaultTimeoutMs } = set
  const [only, ...others] = key
  if (only === undefined) throw new LayoutError(`Cannot write set ${name}: its key has no field`)
  const { byteOrder, bytes } = layoutOf(only)
  // the kernel orders keys byte by byte
  if (set.interval === true && others.length === 0 && byteOrder === 1 && bytes > 1) throw new LayoutError(`Cannot write set ${name}: intervals of ${only} have no order`)
  const concatenated = set.interval === true && others.length > 0
  const flags =
    (set.interval === true ? NFT_SET_INTERVAL : 0) | (data === undefined ? 0 : NFT_SET_MAP) | (set.timeout === true || defaultTimeoutMs !== undefined ? NFT_SET_TIMEOUT : 0) |
    (set.dynamic === true ? NFT_SET_EVAL : 0) | (concatenated ? NFT_SET_CONCAT : 0)
  const fields = concatenated ? key.map((type) => ({ length: layoutOf(type).bytes })) : undefined
  return {
    name, flags, keyType: typeNumber(key), keyLength: keyBytes(key),
    ...(data === undefined ? {} : data === 'verdict' ? { dataType: NFT_DATA_VERDICT, dataLength: 0 } : { dataType: typeNumber(data), dataLength: keyBytes(data) }),
    ...(size === undefined && fields === undefined ? {} : { description: { size, fields } }),
    timeout: defaultTimeoutMs === undefined ? undefined : BigInt(defaultTimeoutMs),
    userdata: setUserdata(set),
    expression: set.counter === true ? { name: 'counter', data: { bytes: 0n, packets: 0n } } : undefined,
  }
}

function* elementSteps(operation: Rest<'addElements' | 'deleteElements'>): Generator<Step> {
  const { table, set } = operation
  const deleting = operation.kind === 'deleteElements'
  const type = !deleting ? NFT_MSG_NEWSETELEM : operation.ifExists === true ? NFT_MSG_DESTROYSETELEM : NFT_MSG_DELSETELEM
  const elements = deleting ? operation.elements.map(({ key }) => ({ key })) : operation.elements
  for (const message of writeElements(familyNumbers[table.family], table.name, set, elements)) {
    yield {
      type, flags: deleting ? 0 : adding(operation.exclusive), payload: message.payload,
      what: (offset) => ({ operation: deleting ? 'delete element' : 'add element', object: `${describeElement(message, offset)} ${deleting ? 'of' : 'to'} ${inTable(set.name, table)}` }),
    }
  }
}

const NLMSG_HEADER_BYTES = 16

/** Names the element that the kernel points at, or the first. */
function describeElement({ elements, offsets }: ElementMessage, offset: number | undefined): string {
  const at = offset === undefined ? -1 : offsets.findLastIndex((start) => start <= offset - NLMSG_HEADER_BYTES)
  const element = elements[Math.max(at, 0)]
  const text = element === undefined ? '' : formatKey(element.key)
  return at >= 0 || elements.length === 1 ? text : `(one of ${elements.length} from ${text} on)`
}
