/**
 * Operations to messages.
 */
import { LayoutError } from '../errors.ts'
import type { Encodable } from '../layout.ts'
import { NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from '../socket.ts'
import type { OutgoingMessage, What } from '../socket.ts'
import { compile, families } from './compile.ts'
import { writeElements } from './elements.ts'
import { layoutOf, typeNumber } from './field-types.ts'
import {
  NFT_DATA_VERDICT, NFT_MSG_DELCHAIN, NFT_MSG_DELRULE, NFT_MSG_DELSET, NFT_MSG_DELSETELEM, NFT_MSG_DELTABLE, NFT_MSG_DESTROYCHAIN, NFT_MSG_DESTROYSET,
  NFT_MSG_DESTROYSETELEM, NFT_MSG_NEWCHAIN, NFT_MSG_NEWRULE, NFT_MSG_NEWSET, NFT_MSG_NEWSETELEM, NFT_MSG_NEWTABLE, NFT_SET_CONCAT, NFT_SET_EVAL,
  NFT_SET_INTERVAL, NFT_SET_MAP, NFT_SET_TIMEOUT, chainMessage, elementsMessage, ruleMessage, setMessage, tableMessage,
} from './layouts.ts'
import type { ChainSpec, Operation, RuleSpec, SetSpec, TableFamily, TableId } from './types.ts'
import { commentUserdata, setUserdata } from './userdata.ts'
import { keyBytes } from './values.ts'
import { describe } from './words.ts'

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

type Rest<K extends Operation['kind']> = Extract<Operation, { readonly kind: K }>

/** The messages of an operation, in order. */
export function* encodeOperation(operation: Operation): Generator<Step> {
  if (operation.kind === 'addElements' || operation.kind === 'deleteElements') yield* elementSteps(operation)
  else if (operation.kind === 'deleteTable' && operation.ifExists === true) {
    // as kernels before 6.3 can do it too
    yield* encodeOperation({ kind: 'addTable', table: operation.table })
    yield* encodeOperation({ kind: 'deleteTable', table: operation.table })
  } else yield { ...encodeSingle(operation), what: () => describe(operation) }
}

function encodeSingle(operation: Exclude<Operation, Rest<'addElements' | 'deleteElements'>>): OutgoingMessage {
  const { table } = operation
  switch (operation.kind) {
    case 'addTable':
    case 'deleteTable':
      return encodeTable(operation)
    case 'addChain':
    case 'deleteChain':
      return encodeChainMessage(operation)
    case 'addSet':
    case 'deleteSet':
      return encodeSetMessage(operation)
    case 'flushTable':
      return { type: NFT_MSG_DELRULE, flags: 0, payload: encodeRule(table, undefined, {}) }
    case 'flushChain':
      return { type: NFT_MSG_DELRULE, flags: 0, payload: encodeRule(table, operation.chain, {}) }
    case 'flushSet':
      return { type: NFT_MSG_DELSETELEM, flags: 0, payload: elementsMessage.encode({ header: headerOf(table), attributes: { table: table.name, set: operation.set } }) }
    case 'addRule':
    case 'insertRule':
    case 'replaceRule':
    case 'deleteRule':
      return encodeRuleMessage(operation)
  }
}

const headerOf = ({ family }: TableId): { readonly family: number } => ({ family: familyNumbers[family] })
const adding = (exclusive: boolean | undefined): number => NLM_F_CREATE | (exclusive === true ? NLM_F_EXCL : 0)

function encodeTable(operation: Rest<'addTable' | 'deleteTable'>): OutgoingMessage {
  const header = headerOf(operation.table)
  const { name } = operation.table
  if (operation.kind === 'deleteTable') {
    return { type: NFT_MSG_DELTABLE, flags: 0, payload: tableMessage.encode({ header, attributes: { name } }) }
  }
  const payload = tableMessage.encode({ header, attributes: { name, flags: 0, userdata: commentUserdata(operation.table.comment) } })
  return { type: NFT_MSG_NEWTABLE, flags: adding(operation.exclusive), payload }
}

function encodeChainMessage(operation: Rest<'addChain' | 'deleteChain'>): OutgoingMessage {
  const header = headerOf(operation.table)
  const table = operation.table.name
  if (operation.kind === 'deleteChain') {
    return { type: operation.ifExists === true ? NFT_MSG_DESTROYCHAIN : NFT_MSG_DELCHAIN, flags: 0, payload: chainMessage.encode({ header, attributes: { table, name: operation.chain } }) }
  }
  const payload = chainMessage.encode({ header, attributes: { table, ...encodeChain(operation.chain) } })
  return { type: NFT_MSG_NEWCHAIN, flags: adding(operation.exclusive), payload }
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
  return ruleMessage.encode({ header: headerOf(table), attributes: { table: table.name, chain, ...attributes } })
}

function encodeRuleMessage(operation: Rest<'addRule' | 'insertRule' | 'replaceRule' | 'deleteRule'>): OutgoingMessage {
  const { table, chain } = operation
  const body = ({ statements, comment }: RuleSpec): Encodable<typeof ruleMessage>['attributes'] => ({ expressions: compile(statements), userdata: commentUserdata(comment) })
  switch (operation.kind) {
    case 'deleteRule':
      return { type: NFT_MSG_DELRULE, flags: 0, payload: encodeRule(table, chain, { handle: BigInt(operation.handle) }) }
    case 'replaceRule':
      return { type: NFT_MSG_NEWRULE, flags: NLM_F_REPLACE, payload: encodeRule(table, chain, { handle: BigInt(operation.handle), ...body(operation.rule) }) }
    case 'insertRule':
      return { type: NFT_MSG_NEWRULE, flags: NLM_F_CREATE, payload: encodeRule(table, chain, body(operation.rule)) }
    case 'addRule': {
      const position = operation.after ?? operation.before
      const flags = NLM_F_CREATE | (operation.before === undefined ? NLM_F_APPEND : 0)
      return { type: NFT_MSG_NEWRULE, flags, payload: encodeRule(table, chain, { ...body(operation.rule), position: position === undefined ? undefined : BigInt(position) }) }
    }
  }
}

/** NFTA_SET_ID names a set within its transaction; other messages here name sets by name. */
let setId = 0

function encodeSetMessage(operation: Rest<'addSet' | 'deleteSet'>): OutgoingMessage {
  const header = headerOf(operation.table)
  const table = operation.table.name
  if (operation.kind === 'deleteSet') {
    return { type: operation.ifExists === true ? NFT_MSG_DESTROYSET : NFT_MSG_DELSET, flags: 0, payload: setMessage.encode({ header, attributes: { table, name: operation.set } }) }
  }
  setId = (setId % 0xffff) + 1
  return { type: NFT_MSG_NEWSET, flags: adding(operation.exclusive), payload: setMessage.encode({ header, attributes: { table, id: setId, ...encodeSet(operation.set) } }) }
}

/** nft's number for the types of a key has six bits for each. */
const FIELDS_MAX = 5

function checkSet({ name, key, data = [], interval }: SetSpec): void {
  const [only, ...others] = key
  if (only === undefined) throw new LayoutError(`Cannot write set ${name}: its key has no field`)
  if (key.length > FIELDS_MAX || (data !== 'verdict' && data.length > FIELDS_MAX)) throw new LayoutError(`Cannot write set ${name}: more than ${FIELDS_MAX} fields`)
  const { byteOrder, bytes } = layoutOf(only)
  // the kernel orders keys byte by byte
  if (interval === true && others.length === 0 && byteOrder === 1 && bytes > 1) throw new LayoutError(`Cannot write set ${name}: intervals of ${only} have no order`)
}

/** What the kernel is told of a set, but for the table. */
export function encodeSet(set: SetSpec): Encodable<typeof setMessage>['attributes'] {
  checkSet(set)
  const { name, key, data, size, defaultTimeoutMs } = set
  const concatenated = set.interval === true && key.length > 1
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

const NLMSG_HEADER_BYTES = 16

function* elementSteps(operation: Rest<'addElements' | 'deleteElements'>): Generator<Step> {
  const { table, set } = operation
  const deleting = operation.kind === 'deleteElements'
  const type = !deleting ? NFT_MSG_NEWSETELEM : operation.ifExists === true ? NFT_MSG_DESTROYSETELEM : NFT_MSG_DELSETELEM
  const given = deleting ? operation.elements.map(({ key }) => ({ key })) : operation.elements
  for (const { payload, elements, offsets } of writeElements(familyNumbers[table.family], table.name, set, given)) {
    yield {
      type, flags: deleting ? 0 : adding(operation.exclusive), payload,
      what: (offset) => describe(operation, offset === undefined ? undefined : elements[offsets.findLastIndex((start) => start <= offset - NLMSG_HEADER_BYTES)]),
    }
  }
}
