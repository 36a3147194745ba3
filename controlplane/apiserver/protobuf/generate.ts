// Makes messages/: the protobuf numbers of every built-in kind's fields, a table per group and version. Run by hand when the kinds or their version change,
// with checkouts of github.com/kubernetes/api, apimachinery, apiextensions-apiserver and kube-aggregator (Apache-2.0):
//
//   node controlplane/apiserver/protobuf/generate.ts API APIMACHINERY APIEXTENSIONS_APISERVER KUBE_AGGREGATOR
//
// The numbers stand in struct tags of the Go types, beside what else one has to know: whether a field is inlined in JSON,
// and whether it is a pointer, so that its zero means something.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { builtinResources } from '../resources/index.ts'
import { shortGroup } from '../schema/definitions.ts'

interface GoField {
  readonly type: string
  readonly number: number
  readonly name: string
  readonly isInline: boolean
  readonly isRepeated: boolean
}

type GoTypes = Map<string, { readonly fields: GoField[] } | { readonly alias: string }>

const [api = '', apimachinery = '', apiextensions = '', aggregator = ''] = process.argv.slice(2)

const extraKinds = [
  { group: 'autoscaling', version: 'v1', kind: 'Scale' },
  { group: 'policy', version: 'v1', kind: 'Eviction' },
  { group: 'authentication.k8s.io', version: 'v1', kind: 'TokenRequest' },
  { group: 'meta', version: 'v1', kind: 'DeleteOptions' },
  { group: 'meta', version: 'v1', kind: 'ListMeta' },
  { group: 'meta', version: 'v1', kind: 'Status' },
]

/** What Go calls by name and the table by a word of its own; see decode.ts. */
const wellKnown: Readonly<Record<string, string>> = {
  'metav1.Time': 'time', 'metav1.MicroTime': 'microTime', 'meta.Time': 'time', 'meta.MicroTime': 'microTime', 'resource.Quantity': 'quantity', 'intstr.IntOrString': 'intOrString', 'runtime.RawExtension': 'raw', 'metav1.FieldsV1': 'raw',
  'meta.FieldsV1': 'raw', 'apiextensions.JSON': 'raw', 'apiextensions.JSONSchemaPropsOrArray': 'schemaOrList', 'apiextensions.JSONSchemaPropsOrBool': 'schemaOrBool',
  'apiextensions.JSONSchemaPropsOrStringArray': 'schemaOrNames', 'types.UID': 'string', 'metav1.Duration': 'int', 'runtime.Object': 'raw',
}
const plain: Readonly<Record<string, string>> = { string: 'string', bool: 'bool', int32: 'int', int64: 'int', int: 'int', uint32: 'int', byte: 'int', uint8: 'int', float64: 'double', '[]byte': 'bytes' }

const packages = new Map<string, GoTypes>()
/** By place: what its import names stand for (`metav1` is `meta.v1`). */
const importsOf = new Map<string, Map<string, string>>()
const messages: Record<string, Record<string, string>> = {}

/** `core.v1` and the like: where its Go types are. */
function typesOf(place: string): GoTypes {
  const known = packages.get(place)
  if (known !== undefined) return known
  const [group = '', version = ''] = place.split('.')
  const text = ['types.go', 'types_jsonschema.go'].map((file) => `${folderOf(group, version)}/${file}`).filter((file) => existsSync(file)).map((file) => readFileSync(file, 'utf8')).join('\n')
  const imported = [...text.matchAll(/^(?:import )?\s*(\w+)?\s*"k8s\.io\/(?:api|apimachinery\/pkg\/apis)\/(\w+)\/(\w+)"/gm)]
  importsOf.set(place, new Map(imported.map(([, name, group = '', version = '']) => [name ?? version, `${group}.${version}`])))
  const types = parseGo(text)
  packages.set(place, types)
  return types
}

function folderOf(group: string, version: string): string {
  const elsewhere: Readonly<Record<string, string>> = { meta: apimachinery, apiextensions, apiregistration: aggregator }
  return elsewhere[group] === undefined ? `${api}/${group}/${version}` : `${elsewhere[group]}/pkg/apis/${group}/${version}`
}

function parseGo(text: string): GoTypes {
  const types: GoTypes = new Map()
  const code = text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/^\s*\/\/.*$/gm, '')
  for (const [, name = '', body = ''] of code.matchAll(/^type (\w+) struct \{\n([\s\S]*?)^\}/gm)) types.set(name, { fields: parseFields(body) })
  for (const [, name = ''] of code.matchAll(/^type (\w+) struct ?\{\}$/gm)) types.set(name, { fields: [] })
  for (const [, name = '', alias = ''] of code.matchAll(/^type (\w+) =? ?((?:\[\]|\*|map\[)?[\w.\]*[]+)\s*$/gm)) if (!types.has(name)) types.set(name, { alias })
  return types
}

function parseFields(body: string): GoField[] {
  return [...body.matchAll(/^\t(?:(\w+)\s+)?([*\w.[\]]+)\s+`([^`]*)`/gm)].flatMap(([, , type = '', tags = '']) => {
    const [, number] = /protobuf:"\w+,(\d+),/.exec(tags) ?? []
    const [, json = ''] = /json:"([^"]*)"/.exec(tags) ?? []
    if (number === undefined) return []
    return [{ type, number: Number(number), name: json.split(',')[0] ?? '', isInline: json.includes(',inline'), isRepeated: /protobuf:"\w+,\d+,rep,/.test(tags) }]
  })
}

/** Adds a message and everything that it refers to. */
function addMessage(place: string, name: string): string {
  const full = `${place}.${name}`
  if (messages[full] !== undefined) return full
  const type = typesOf(place).get(name)
  if (type === undefined || !('fields' in type)) throw new Error(`Cannot find the Go type ${full}`)
  const message: Record<string, string> = {}
  messages[full] = message
  for (const field of type.fields) message[field.number] = `${field.isInline ? '' : field.name}:${describeField(place, field)}`
  return full
}

/** A named list that is a field's own type stands there as a plain one; only in maps it is a message. */
function describeField(place: string, { type, isRepeated }: GoField): string {
  const described = describe(place, type)
  return isRepeated && described.startsWith('items/') ? `[]${described.slice('items/'.length)}` : described
}

/** The type of a field: `*` before what is a pointer, `[]` before lists, `{}` before maps, then a plain word or a message. */
function describe(place: string, type: string): string {
  if (plain[type] !== undefined) return plain[type]
  if (type.startsWith('*')) return `*${describe(place, type.slice(1))}`
  if (type.startsWith('[]')) return `[]${describe(place, type.slice(2))}`
  const [, value] = /^map\[[\w.]+\](.+)$/.exec(type) ?? []
  if (value !== undefined) return `{}${describe(place, value)}`
  if (wellKnown[type] !== undefined) return wellKnown[type]
  const [qualifier, name] = type.includes('.') ? type.split('.') : [undefined, type]
  const home = qualifier === undefined ? place : (importsOf.get(place)?.get(qualifier) ?? qualifier)
  if (wellKnown[`${home.split('.')[0] ?? ''}.${name ?? ''}`] !== undefined) return wellKnown[`${home.split('.')[0] ?? ''}.${name ?? ''}`] ?? ''
  const found = typesOf(home).get(name ?? '')
  if (found === undefined) throw new Error(`Cannot find the Go type ${type} used in ${place}`)
  if ('fields' in found) return addMessage(home, name ?? '')
  // A named list is a message of its own, whose first field is the list.
  return found.alias.startsWith('[]') ? `items/${describe(home, found.alias.slice(2))}` : describe(home, found.alias)
}

for (const { group, version, kind } of [...builtinResources(), ...extraKinds]) addMessage(`${shortGroup(group)}.${version}`, kind)

const origin = 'Made by generate.ts from the Go types of github.com/kubernetes/api, apimachinery, apiextensions-apiserver and kube-aggregator (Kubernetes 1.36), Apache-2.0.'
const folder = new URL('messages/', import.meta.url)
rmSync(folder, { recursive: true, force: true })
mkdirSync(folder)
const names = Object.keys(messages).sort()
for (const place of new Set(names.map((name) => name.slice(0, name.lastIndexOf('.'))))) {
  const rows = names.filter((name) => name.startsWith(`${place}.`)).map((name) => `${JSON.stringify(name)}: ${JSON.stringify(messages[name])}`)
  writeFileSync(new URL(`${place}.json`, folder), `{\n"origin": ${JSON.stringify(origin)},\n"messages": {\n${rows.join(',\n')}\n}\n}\n`)
}
