/**
 * Everything of a table, read back into the types that it was written with.
 */
import type { Decoded } from '../layout.ts'
import { isNotFound } from '../errors.ts'
import type { Transport } from '../socket.ts'
import { decompile } from './decompile.ts'
import { readElements, writeElements } from './elements.ts'
import { typesOf } from './field-types.ts'
import type { FieldType } from './field-types.ts'
import {
  NFT_CHAIN_BINDING, NFT_DATA_VERDICT, NFT_MSG_GETCHAIN, NFT_MSG_GETRULE, NFT_MSG_GETSET, NFT_MSG_GETSETELEM, NFT_MSG_GETTABLE, NFT_SET_ANONYMOUS, NFT_SET_EVAL,
  NFT_SET_INTERVAL, NFT_SET_OBJECT, NFT_SET_TIMEOUT, chainMessage, elementsMessage, ruleMessage, setMessage, tableMessage,
} from './layouts.ts'
import { familyNumbers, hooks } from './operations.ts'
import type { BaseChain, Chain, ChainSpec, Element, NamedSet, Rule, SetSpec, TableId, TableSpec, Value } from './types.ts'
import { commentOf, setCommentOf } from './userdata.ts'
import { keyBytes } from './values.ts'
import { describeTable } from './words.ts'

type ChainAttributes = Decoded<typeof chainMessage>['attributes']
type SetAttributes = Decoded<typeof setMessage>['attributes']

const optional = <K extends string, V>(name: K, value: V | undefined): { readonly [P in K]?: V } => (value === undefined ? {} : { [name]: value } as { readonly [P in K]: V })

/** The table itself; `undefined` where there is none. */
export function readTable(transport: Transport, table: TableId): TableSpec | undefined {
  const header = { family: familyNumbers[table.family] }
  try {
    const [reply] = transport.request(NFT_MSG_GETTABLE, 0, tableMessage.encode({ header, attributes: { name: table.name } }), { operation: 'read table', object: describeTable(table) })
    if (reply === undefined) return undefined
    return { family: table.family, name: table.name, ...optional('comment', commentOf(tableMessage.decode(reply.payload).attributes.userdata)) }
  } catch (error) {
    if (isNotFound(error)) return undefined
    throw error
  }
}

/** Sets, chains and rules of a table. They may be of different generations if someone writes meanwhile. */
export function readContents(transport: Transport, table: TableId): { readonly chains: ReadonlyMap<string, Chain>; readonly sets: ReadonlyMap<string, NamedSet> } {
  const all = readSets(transport, table)
  const context = { family: table.family, sets: all }
  const rules = Map.groupBy(readRules(transport, table), ({ chain }) => chain)
  const chains = new Map<string, Chain>()
  for (const { flags, name = '', ...attributes } of readChains(transport, table)) {
    if (((flags ?? 0) & NFT_CHAIN_BINDING) !== 0) continue
    const listed = (rules.get(name) ?? []).map(({ handle, expressions, comment }): Rule => {
      const { statements, counters } = decompile(expressions, context)
      return { handle, statements, ...optional('comment', comment), ...(counters.length === 0 ? {} : { counters }) }
    })
    chains.set(name, { ...readChain(name, attributes), handle: Number(attributes.handle ?? 0n), rules: listed })
  }
  const sets = new Map<string, NamedSet>()
  for (const [name, { anonymous, handle, set }] of all.entries()) {
    if (!anonymous) sets.set(name, { ...set, handle, elements: set.key.length === 0 ? [] : readSetElements(transport, table, set) })
  }
  return { chains, sets }
}

function readRules(transport: Transport, table: TableId): { readonly chain: string; readonly handle: number; readonly expressions: Parameters<typeof decompile>[0]; readonly comment: string | undefined }[] {
  const request = ruleMessage.encode({ header: { family: familyNumbers[table.family] }, attributes: { table: table.name } })
  return transport.dump(NFT_MSG_GETRULE, 0, request, { operation: 'list rules of table', object: describeTable(table) }).map(({ payload }) => {
    const { chain = '', handle = 0n, expressions = [], userdata } = ruleMessage.decode(payload).attributes
    return { chain, handle: Number(handle), expressions, comment: commentOf(userdata) }
  })
}

function readChains(transport: Transport, table: TableId): ChainAttributes[] {
  const request = chainMessage.encode({ header: { family: familyNumbers[table.family] }, attributes: { table: table.name } })
  return transport
    .dump(NFT_MSG_GETCHAIN, 0, request, { operation: 'list chains of table', object: describeTable(table) })
    .map(({ payload }) => chainMessage.decode(payload).attributes)
    .filter((chain) => chain.table === table.name)
}

function readChain(name: string, { hook, type, policy, userdata }: ChainAttributes): ChainSpec {
  const comment = optional('comment', commentOf(userdata))
  if (hook === undefined) return { name, ...comment }
  const hookName = (Object.keys(hooks) as BaseChain['hook'][]).find((key) => hooks[key] === hook.number) ?? 'prerouting'
  return { name, base: { type: (type ?? 'filter') as BaseChain['type'], hook: hookName, priority: (hook.priority ?? 0) | 0, policy: policy === 0 ? 'drop' : 'accept' }, ...comment }
}

interface ListedSet {
  readonly set: SetSpec
  readonly key: SetSpec['key']
  readonly data: SetSpec['data']
  readonly handle: number
  /** made for one rule by whoever wrote that */
  readonly anonymous: boolean
}

function readSets(transport: Transport, table: TableId): ReadonlyMap<string, ListedSet> {
  const request = setMessage.encode({ header: { family: familyNumbers[table.family] }, attributes: { table: table.name } })
  const listed = transport.dump(NFT_MSG_GETSET, 0, request, { operation: 'list sets of table', object: describeTable(table) })
  return new Map(listed.map(({ payload }) => {
    const { attributes } = setMessage.decode(payload)
    const set = readSet(attributes)
    return [set.name, { set, key: set.key, data: set.data, handle: Number(attributes.handle ?? 0n), anonymous: ((attributes.flags ?? 0) & NFT_SET_ANONYMOUS) !== 0 }]
  }))
}

/** A set whose fields are of types that are none of ours (someone else's) has a key without fields. */
function readSet({ name = '', flags = 0, keyType = 0, keyLength, dataType, dataLength = 0, description, timeout, userdata, expression }: SetAttributes): SetSpec {
  const has = (bit: number): boolean => (flags & bit) !== 0
  const fits = (types: readonly FieldType[] | undefined, length: number | undefined): types is readonly FieldType[] => types !== undefined && types.length > 0 && keyBytes(types) === length
  const key = typesOf(keyType)
  const data = dataType === undefined ? undefined : dataType === NFT_DATA_VERDICT ? 'verdict' : typesOf(dataType)
  const known = fits(key, keyLength) && (dataType === undefined || data === 'verdict' || fits(data, dataLength)) && !has(NFT_SET_OBJECT)
  const defaultTimeoutMs = timeout === undefined || timeout === 0n ? undefined : Number(timeout)
  return {
    name, key: known ? key : [],
    ...(known && data !== undefined ? { data } : {}),
    ...(has(NFT_SET_INTERVAL) ? { interval: true } : {}),
    ...(has(NFT_SET_TIMEOUT) ? { timeout: true } : {}),
    ...(has(NFT_SET_EVAL) ? { dynamic: true } : {}),
    ...optional('defaultTimeoutMs', defaultTimeoutMs),
    ...optional('size', description?.size),
    ...(expression?.name === 'counter' ? { counter: true } : {}),
    ...optional('comment', setCommentOf(userdata)),
  }
}

function readSetElements(transport: Transport, table: TableId, set: SetSpec): Element[] {
  const request = elementsMessage.encode({ header: { family: familyNumbers[table.family] }, attributes: { table: table.name, set: set.name } })
  const listed = transport.dump(NFT_MSG_GETSETELEM, 0, request, { operation: 'list elements of', object: `${set.name} in table ${describeTable(table)}` })
  return readElements(listed.flatMap(({ payload }) => elementsMessage.decode(payload).attributes.elements ?? []), set)
}

/** The element with a key; `undefined` where there is none, or no such set. */
export function readElement(transport: Transport, table: TableId, set: SetSpec, key: readonly Value[]): Element | undefined {
  const [message] = writeElements(familyNumbers[table.family], table.name, set, [{ key }])
  if (message === undefined) return undefined
  try {
    const replies = transport.request(NFT_MSG_GETSETELEM, 0, message.payload, { operation: 'find element of', object: `${set.name} in table ${describeTable(table)}` })
    return readElements(replies.flatMap(({ payload }) => elementsMessage.decode(payload).attributes.elements ?? []), set)[0]
  } catch (error) {
    if (isNotFound(error)) return undefined
    throw error
  }
}
