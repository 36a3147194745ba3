// The messages of built-in kinds by name: which number each field has, and what it holds. One table per group and version in
// `messages/`, read when it is first needed; generate.ts makes them.
import { existsSync, readFileSync } from 'node:fs'

/** A row of the tables is `name:type`, the type with `*` before a pointer (whose zero means something), `[]` before a list, `{}` before a map. */
export interface Field {
  readonly number: number
  /** Empty: its fields are the message's own. */
  readonly name: string
  readonly isPointer: boolean
  readonly shape: 'one' | 'list' | 'map'
  /** A plain word (`string`, `int`, `time`), a message (`core.v1.Container`), or `items/` before what a named list holds. */
  readonly type: string
}

export interface Message {
  readonly byNumber: ReadonlyMap<number, Field>
  /** In the order of their numbers. */
  readonly fields: readonly Field[]
}

/** What `schemaOrList`, `schemaOrBool` and `schemaOrNames` hold, if it is a schema. */
export const schemaMessage = 'apiextensions.v1.JSONSchemaProps'

type Table = Readonly<Record<string, Readonly<Record<string, string>>>>

const tables = new Map<string, Table | undefined>()
const messages = new Map<string, Message | undefined>()

/** The message of a kind, if it has one: kinds of other groups, as custom resources are, do not. */
export function kindMessage(apiVersion: string, kind: string): string | undefined {
  if (kind === 'DeleteOptions') return 'meta.v1.DeleteOptions'
  if (kind === 'Status' && apiVersion === 'v1') return 'meta.v1.Status'
  const [group = '', version] = apiVersion.split('/')
  if (version === undefined) return existing(`core.${group}.${kind}`)
  // A group of somebody else's must not pass for a built-in one that begins with the same word.
  if (group.includes('.') && !group.endsWith('.k8s.io')) return undefined
  return existing(`${group.split('.')[0] ?? ''}.${version}.${kind}`)
}

function existing(name: string): string | undefined {
  return message(name) === undefined ? undefined : name
}

/** A message by its name: `core.v1.Pod`. */
export function message(name: string): Message | undefined {
  if (messages.has(name)) return messages.get(name)
  const place = name.slice(0, name.lastIndexOf('.'))
  const rows = tableOf(place)
  const row = rows !== undefined && Object.hasOwn(rows, name) ? rows[name] : undefined
  // Names come from outside: what is not known is not kept.
  if (row === undefined) return undefined
  const fields = Object.entries(row).map(([number, text]) => parseField(Number(number), text)).sort((a, b) => a.number - b.number)
  const found = { fields, byNumber: new Map(fields.map((field) => [field.number, field])) }
  messages.set(name, found)
  return found
}

function tableOf(place: string): Table | undefined {
  if (tables.has(place)) return tables.get(place)
  if (!/^[a-z]+\.v\d[a-z\d]*$/.test(place)) return undefined
  const file = new URL(`messages/${place}.json`, import.meta.url)
  if (!existsSync(file)) return undefined
  const table = (JSON.parse(readFileSync(file, 'utf8')) as { messages: Table }).messages
  tables.set(place, table)
  return table
}

function parseField(number: number, text: string): Field {
  const colon = text.indexOf(':')
  const [, pointer = '', shape = '', inner = '', type = ''] = /^(\*?)(\[\]|\{\})?(\*?)(.+)$/.exec(text.slice(colon + 1)) ?? []
  return { number, name: text.slice(0, colon), isPointer: pointer !== '' || inner !== '', shape: shape === '[]' ? 'list' : shape === '{}' ? 'map' : 'one', type }
}
