// The API described for clients: OpenAPI 3 by group and version, Swagger 2 of everything. What kubectl reads of it:
// `explain` the fields and what is said of them, `apply` how lists are merged, `create` whether `fieldValidation` is known.
import type { Schema } from '../custom/schema.ts'
import type { ResourceDescriptor } from '../descriptor.ts'
import { apiVersionOf } from '../object.ts'
import { hasSubresource, verbsOf } from '../registry.ts'
import { definition, definitionName, describe, listRule } from './definitions.ts'
import type { FieldType, ListRule } from './definitions.ts'
import { fullName, listName, schemaName } from './names.ts'
import { pathsOf } from './paths.ts'
import type { Dialect } from './paths.ts'

type Json = Record<string, unknown>

const info = { title: 'Kubernetes', version: 'v1.35.0' }

/** The OpenAPI 3 document of one group and version (`/openapi/v3/apis/GROUP/VERSION`), of those descriptors that belong to it. */
export function openApiV3(groupVersion: { readonly group: string; readonly version: string }, descriptors: readonly ResourceDescriptor[]): Json {
  const served = descriptors.filter(({ group, version }) => group === groupVersion.group && version === groupVersion.version)
  return { openapi: '3.0.0', info, paths: pathsOf(served, 3), components: { schemas: new SchemaWriter(3).write(served) } }
}

/** The Swagger 2 document of everything (`/openapi/v2`). */
export function openApiV2(descriptors: readonly ResourceDescriptor[]): Json {
  return { swagger: '2.0', info, paths: pathsOf(descriptors, 2), definitions: new SchemaWriter(2).write(descriptors) }
}

const quantity = 'io.k8s.apimachinery.pkg.api.resource.Quantity'
const intOrString = 'io.k8s.apimachinery.pkg.util.intstr.IntOrString'
const time = 'io.k8s.apimachinery.pkg.apis.meta.v1.Time'
const microTime = 'io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime'

/** Collects the definitions that kinds need. */
class SchemaWriter {
  readonly #dialect: Dialect
  readonly #schemas = new Map<string, Json>()

  constructor(dialect: Dialect) {
    this.#dialect = dialect
  }

  write(descriptors: readonly ResourceDescriptor[]): Json {
    for (const descriptor of descriptors) {
      const { group, version, kind } = descriptor
      const name = definitionName(descriptor)
      const mark = { 'x-kubernetes-group-version-kind': [{ group, kind, version }] }
      if (name === undefined) this.#schemas.set(schemaName(descriptor), { ...this.#custom(descriptor.schema), ...mark })
      else Object.assign(this.#add(name), mark)
      if (verbsOf(descriptor).includes('list')) this.#addList(descriptor)
      if (hasSubresource(descriptor, 'scale')) this.#mark('autoscaling.v1.Scale', { group: 'autoscaling', version: 'v1', kind: 'Scale' })
      if (hasSubresource(descriptor, 'eviction')) this.#mark('policy.v1.Eviction', { group: 'policy', version: 'v1', kind: 'Eviction' })
      if (hasSubresource(descriptor, 'token')) this.#mark('authentication.v1.TokenRequest', { group: 'authentication.k8s.io', version: 'v1', kind: 'TokenRequest' })
    }
    for (const name of ['meta.v1.DeleteOptions', 'meta.v1.Status']) this.#add(name)
    return Object.fromEntries([...this.#schemas].sort(([a], [b]) => (a < b ? -1 : 1)))
  }

  /** The schema of a custom resource; what Swagger 2 cannot say is left out of it. */
  #custom(schema: Schema | undefined): Json {
    if (schema === undefined) return { type: 'object', 'x-kubernetes-preserve-unknown-fields': true }
    this.#add('meta.v1.ObjectMeta')
    const text = { type: 'string' }
    const shown = this.#dialect === 3 ? schema : plainSchema(schema)
    return { ...shown, properties: { ...shown.properties, apiVersion: text, kind: text, metadata: this.#reference(fullName('meta.v1.ObjectMeta')) } }
  }

  #mark(name: string, kind: Json): void {
    Object.assign(this.#add(name), { 'x-kubernetes-group-version-kind': [kind] })
  }

  #add(name: string): Json {
    const full = fullName(name)
    const present = this.#schemas.get(full)
    if (present !== undefined) return present
    const schema: Json = { type: 'object' }
    this.#schemas.set(full, schema)
    const about = describe(name, '')
    if (about !== undefined) schema['description'] = about
    const required: string[] = []
    const properties: Json = {}
    for (const [field, { type, required: isRequired }] of definition(name)) {
      // What has no words of its own is described by its type.
      const description = describe(name, field) ?? (type.of === 'object' ? describe(type.name, '') : undefined)
      properties[field] = { ...(description === undefined ? {} : { description }), ...this.#schemaOf(type), ...extensions(listRule(name, field), type) }
      if (isRequired) required.push(field)
    }
    schema['properties'] = properties
    if (required.length > 0) schema['required'] = required
    return schema
  }

  #addList(descriptor: ResourceDescriptor): void {
    const { group, version, kind, listKind = `${kind}List` } = descriptor
    this.#add('meta.v1.ListMeta')
    const text = { type: 'string' }
    this.#schemas.set(listName(descriptor), {
      type: 'object',
      description: `${listKind} is a list of ${kind} objects of ${apiVersionOf(descriptor)}.`,
      properties: { apiVersion: text, kind: text, metadata: this.#reference(fullName('meta.v1.ListMeta')), items: { type: 'array', items: this.#reference(schemaName(descriptor)) } },
      required: ['items'],
      'x-kubernetes-group-version-kind': [{ group, kind: listKind, version }],
    })
  }

  #schemaOf(type: FieldType): Json {
    switch (type.of) {
      case 'object':
        this.#add(type.name)
        return this.#reference(fullName(type.name))
      case 'list':
        return { type: 'array', items: this.#schemaOf(type.item) }
      case 'map':
        return { type: 'object', additionalProperties: this.#schemaOf(type.item) }
      case 'plain':
        return this.#plain(type.plain)
    }
  }

  #plain(plain: Extract<FieldType, { of: 'plain' }>['plain']): Json {
    const either = (...types: string[]): Json => (this.#dialect === 3 ? { oneOf: types.map((type) => ({ type })) } : { type: 'string' })
    switch (plain) {
      case 'string':
      case 'boolean':
        return { type: plain }
      case 'int32':
      case 'int64':
        return { type: 'integer', format: plain }
      case 'double':
        return { type: 'number', format: plain }
      case 'bytes':
        return { type: 'string', format: 'byte' }
      case 'any':
        return { type: 'object', 'x-kubernetes-preserve-unknown-fields': true }
      case 'time':
        return this.#named(time, { type: 'string', format: 'date-time' })
      case 'microtime':
        return this.#named(microTime, { type: 'string', format: 'date-time' })
      case 'quantity':
        return this.#named(quantity, { description: 'Quantity is a fixed-point representation of a number, such as 250m, 1.5 or 64Mi.', ...either('string', 'number') })
      case 'intOrString':
        return this.#named(intOrString, { description: 'IntOrString is a type that can hold an int32 or a string.', format: 'int-or-string', ...either('integer', 'string') })
    }
  }

  #named(name: string, schema: Json): Json {
    this.#schemas.set(name, schema)
    return this.#reference(name)
  }

  /** OpenAPI 3 allows nothing beside a `$ref`, so it is wrapped. */
  #reference(name: string): Json {
    return this.#dialect === 3 ? { allOf: [{ $ref: `#/components/schemas/${name}` }] } : { $ref: `#/definitions/${name}` }
  }
}

/** A schema without what Swagger 2 does not know (apiextensions-apiserver pkg/controller/openapi/v2). */
function plainSchema(schema: Schema): Schema {
  const { nullable, allOf: _allOf, anyOf: _anyOf, oneOf: _oneOf, not: _not, default: _default, type, properties, items, additionalProperties, ...rest } = schema
  // Clients would refuse null, or the fields that a schema does not name.
  if (nullable === true || schema['x-kubernetes-int-or-string'] === true) return rest
  return {
    ...rest,
    ...(type === undefined ? {} : { type }),
    ...(properties === undefined || schema['x-kubernetes-preserve-unknown-fields'] === true ? {} : { properties: Object.fromEntries(Object.entries(properties).map(([name, one]) => [name, plainSchema(one)])) }),
    ...(items === undefined ? {} : { items: plainSchema(items) }),
    ...(typeof additionalProperties === 'object' ? { additionalProperties: plainSchema(additionalProperties) } : {}),
  }
}

function extensions(rule: ListRule | undefined, type: FieldType): Json {
  if (rule === undefined) return {}
  const { merge, retainKeys, keys, set } = rule
  const strategy = [merge === undefined ? '' : 'merge', retainKeys === true ? 'retainKeys' : ''].filter((word) => word !== '').join(',')
  const listType = type.of !== 'list' ? undefined : keys !== undefined || (merge ?? '') !== '' ? 'map' : set === true || merge === '' ? 'set' : undefined
  const mapKeys = keys ?? (merge === undefined || merge === '' ? undefined : [merge])
  return {
    ...(strategy === '' ? {} : { 'x-kubernetes-patch-strategy': strategy }),
    ...(merge === undefined || merge === '' ? {} : { 'x-kubernetes-patch-merge-key': merge }),
    ...(listType === undefined ? {} : { 'x-kubernetes-list-type': listType }),
    ...(listType === 'map' ? { 'x-kubernetes-list-map-keys': mapKeys } : {}),
  }
}
