// How values are merged: which objects are taken as a whole, which lists are sets, and which are maps by the keys of their items.
import { propertyOf } from '../custom/schema.ts'
import type { Schema } from '../custom/schema.ts'
import type { ResourceDescriptor } from '../descriptor.ts'
import { definition, definitionName, listRule } from '../schema/definitions.ts'
import type { FieldType } from '../schema/definitions.ts'

export type MergeType =
  /** A scalar, or what has one owner as a whole. */
  | { readonly of: 'whole' }
  | { readonly of: 'object'; readonly field: (name: string) => MergeType; readonly isNamed: (name: string) => boolean; /** Whether a field is recorded as such when it comes, beside what is in it. */ readonly isRecorded: (name: string) => boolean }
  | { readonly of: 'set' }
  | { readonly of: 'list'; readonly item: MergeType; readonly keys: readonly string[]; readonly defaults: Readonly<Record<string, unknown>> }

const whole: MergeType = { of: 'whole' }

/** What nothing is known of: objects are maps, lists are taken as a whole. */
const untyped: MergeType = { of: 'object', field: () => untyped, isNamed: () => false, isRecorded: () => true }

/** Objects of which a part makes no sense (`x-kubernetes-map-type: atomic` in Kubernetes 1.35). */
const atomicObjects = new Set([
  'core.v1.ConfigMapKeySelector', 'core.v1.EndpointAddress', 'core.v1.EndpointPort', 'core.v1.FileKeySelector', 'core.v1.LocalObjectReference', 'core.v1.NodeSelector', 'core.v1.NodeSelectorTerm',
  'core.v1.ObjectFieldSelector', 'core.v1.ObjectReference', 'core.v1.ResourceFieldSelector', 'core.v1.ScopeSelector', 'core.v1.SecretKeySelector', 'core.v1.SecretReference',
  'core.v1.TopologySelectorTerm', 'core.v1.TypedLocalObjectReference', 'discovery.v1.EndpointPort', 'meta.v1.LabelSelector', 'meta.v1.OwnerReference', 'networking.v1.ServiceBackendPort',
  'rbac.v1.RoleRef', 'rbac.v1.Subject', 'autoscaling.v2.CrossVersionObjectReference',
])

const atomicFields = new Set(['core.v1.PodSpec.nodeSelector', 'core.v1.ServiceSpec.selector', 'core.v1.ReplicationControllerSpec.selector'])

/** Keys that count with their default when an item leaves them out. */
const keyDefaults: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  'core.v1.Container.ports': { protocol: 'TCP' },
  'core.v1.EphemeralContainer.ports': { protocol: 'TCP' },
  'core.v1.ServiceSpec.ports': { protocol: 'TCP' },
}

/** Structures that Go always writes, empty or not: they do not come and go. */
const alwaysThere = new Set(['metadata', 'spec', 'status', 'template', 'strategy', 'updateStrategy', 'jobTemplate', 'resources'])

const known = new Map<string, MergeType>()

/** How the objects of a resource are merged. */
export function mergeTypeOf(descriptor: ResourceDescriptor): MergeType {
  const name = definitionName(descriptor)
  if (name !== undefined) return typeOfDefinition(name)
  return descriptor.schema === undefined ? untyped : typeOfCustom(descriptor.schema)
}

const customTypes = new WeakMap<Schema, MergeType>()

function typeOfCustom(schema: Schema): MergeType {
  let type = customTypes.get(schema)
  if (type === undefined) {
    const fields = typeOfSchema(schema)
    const ofMetadata = typeOfDefinition('meta.v1.ObjectMeta')
    const field = (name: string): MergeType => (name === 'metadata' ? ofMetadata : name === 'apiVersion' || name === 'kind' || fields.of !== 'object' ? whole : fields.field(name))
    type = { of: 'object', field, isNamed: () => true, isRecorded: (name) => !alwaysThere.has(name) }
    customTypes.set(schema, type)
  }
  return type
}

function typeOfSchema(schema: Schema): MergeType {
  if (schema.type === 'array') {
    const { items = {} } = schema
    if (schema['x-kubernetes-list-type'] === 'set') return { of: 'set' }
    if (schema['x-kubernetes-list-type'] !== 'map') return whole
    const keys = (schema['x-kubernetes-list-map-keys'] ?? []).toSorted()
    return { of: 'list', item: typeOfSchema(items), keys, defaults: Object.fromEntries(keys.map((key) => [key, items.properties?.[key]?.default])) }
  }
  const isObject = schema.type === 'object' || (schema.type === undefined && schema['x-kubernetes-preserve-unknown-fields'] === true)
  if (!isObject || schema['x-kubernetes-map-type'] === 'atomic') return whole
  const types = new Map<string, MergeType>()
  const field = (name: string): MergeType => {
    let found = types.get(name)
    if (found === undefined) {
      const property = propertyOf(schema, name)
      found = property === undefined ? untyped : typeOfSchema(property)
      types.set(name, found)
    }
    return found
  }
  return { of: 'object', field, isNamed: (name) => schema.properties !== undefined && Object.hasOwn(schema.properties, name), isRecorded: () => true }
}

function typeOfDefinition(name: string): MergeType {
  let type = known.get(name)
  if (type !== undefined) return type
  if (atomicObjects.has(name)) type = whole
  else {
    const fields = definition(name)
    const types = new Map<string, MergeType>()
    const field = (one: string): MergeType => {
      let found = types.get(one)
      if (found === undefined) {
        const declared = fields.get(one)
        found = declared === undefined ? untyped : typeOf(declared.type, name, one)
        types.set(one, found)
      }
      return found
    }
    type = { of: 'object', field, isNamed: (one) => fields.has(one), isRecorded: (one) => !(alwaysThere.has(one) || fields.get(one)?.required === true) }
  }
  known.set(name, type)
  return type
}

function typeOf(type: FieldType, owner: string, field: string): MergeType {
  switch (type.of) {
    case 'plain':
      return whole
    case 'object':
      return typeOfDefinition(type.name)
    case 'map': {
      if (atomicFields.has(`${owner}.${field}`)) return whole
      const item = typeOf(type.item, owner, '')
      return { of: 'object', field: () => item, isNamed: () => false, isRecorded: () => true }
    }
    case 'list':
      return listType(type.item, owner, field)
  }
}

function listType(item: FieldType, owner: string, field: string): MergeType {
  const rule = listRule(owner, field)
  const keys = rule?.keys ?? (rule?.merge === undefined || rule.merge === '' ? undefined : [rule.merge])
  if (keys !== undefined) return { of: 'list', item: typeOf(item, owner, ''), keys: keys.toSorted(), defaults: keyDefaults[`${owner}.${field}`] ?? {} }
  return rule?.set === true || rule?.merge === '' ? { of: 'set' } : whole
}
