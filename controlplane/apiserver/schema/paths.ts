// The `paths` of the OpenAPI documents: which requests a resource takes.
import type { ResourceDescriptor, Subresource, Verb } from '../descriptor.ts'
import { verbsOf } from '../registry.ts'
import { fullName, listName, schemaName } from './names.ts'

/** The major version of OpenAPI. */
export type Dialect = 2 | 3

type Json = Record<string, unknown>

const objectTypes = ['application/json', 'application/yaml']
const customPatchTypes = ['application/apply-patch+yaml', 'application/json-patch+json', 'application/merge-patch+json']
const patchTypes = [...customPatchTypes, 'application/strategic-merge-patch+json']
const writeParameters: readonly (readonly [string, string])[] = [['dryRun', 'string'], ['fieldManager', 'string'], ['fieldValidation', 'string']]
const readParameters: readonly (readonly [string, string])[] = [
  ['allowWatchBookmarks', 'boolean'], ['continue', 'string'], ['fieldSelector', 'string'], ['labelSelector', 'string'], ['limit', 'integer'], ['resourceVersion', 'string'],
  ['resourceVersionMatch', 'string'], ['sendInitialEvents', 'boolean'], ['timeoutSeconds', 'integer'], ['watch', 'boolean'],
]
const deleteParameters: readonly (readonly [string, string])[] = [['dryRun', 'string'], ['gracePeriodSeconds', 'integer'], ['propagationPolicy', 'string']]

interface Operation {
  readonly action: string
  readonly gvk: Json
  readonly body?: string
  readonly consumes?: readonly string[]
  readonly result: string
  readonly query: readonly (readonly [string, string])[]
}

export function pathsOf(descriptors: readonly ResourceDescriptor[], dialect: Dialect): Json {
  const paths: Json = {}
  for (const descriptor of descriptors) {
    const { group, version, plural, namespaced } = descriptor
    const base = group === '' ? `/api/${version}` : `/apis/${group}/${version}`
    const collection = namespaced ? `${base}/namespaces/{namespace}/${plural}` : `${base}/${plural}`
    const add = (path: string, operations: Json): void => {
      if (Object.keys(operations).length > 0) paths[path] = { ...operations, parameters: pathParameters(path, dialect) }
    }
    add(collection, collectionOperations(descriptor, dialect))
    if (descriptor.virtual === true) continue
    add(`${collection}/{name}`, objectOperations(descriptor, dialect))
    if (namespaced && verbsOf(descriptor).includes('list')) add(`${base}/${plural}`, { get: collectionOperations(descriptor, dialect)['get'] })
    for (const subresource of descriptor.subresources ?? []) add(`${collection}/{name}/${subresource}`, subresourceOperations(descriptor, subresource, dialect))
  }
  return paths
}

function kindOf({ group, version, kind }: ResourceDescriptor): Json {
  return { group, kind, version }
}

/** kubectl reads here which patch it may send. */
function patchTypesOf({ schema }: ResourceDescriptor): readonly string[] {
  return schema === undefined ? patchTypes : customPatchTypes
}

function collectionOperations(descriptor: ResourceDescriptor, dialect: Dialect): Json {
  const gvk = kindOf(descriptor)
  const schema = schemaName(descriptor)
  return offered(descriptor, dialect, {
    list: ['get', { action: 'list', gvk, result: listName(descriptor), query: readParameters }],
    create: ['post', { action: 'post', gvk, body: schema, result: schema, query: writeParameters }],
    deletecollection: ['delete', { action: 'deletecollection', gvk, body: fullName('meta.v1.DeleteOptions'), result: fullName('meta.v1.Status'), query: [...readParameters, ...deleteParameters] }],
  })
}

function objectOperations(descriptor: ResourceDescriptor, dialect: Dialect): Json {
  const gvk = kindOf(descriptor)
  const schema = schemaName(descriptor)
  return offered(descriptor, dialect, {
    get: ['get', { action: 'get', gvk, result: schema, query: [] }],
    update: ['put', { action: 'put', gvk, body: schema, result: schema, query: writeParameters }],
    patch: ['patch', { action: 'patch', gvk, body: patchBody, consumes: patchTypesOf(descriptor), result: schema, query: [...writeParameters, ['force', 'boolean']] }],
    delete: ['delete', { action: 'delete', gvk, body: fullName('meta.v1.DeleteOptions'), result: fullName('meta.v1.Status'), query: deleteParameters }],
  })
}

/** Subresources that are objects; streams are left out. */
function subresourceOperations(descriptor: ResourceDescriptor, subresource: Subresource, dialect: Dialect): Json {
  const special: Partial<Record<Subresource, readonly [string, Json]>> = {
    scale: [fullName('autoscaling.v1.Scale'), { group: 'autoscaling', kind: 'Scale', version: 'v1' }],
    eviction: [fullName('policy.v1.Eviction'), { group: 'policy', kind: 'Eviction', version: 'v1' }],
    token: [fullName('authentication.v1.TokenRequest'), { group: 'authentication.k8s.io', kind: 'TokenRequest', version: 'v1' }],
    binding: [fullName('core.v1.Binding'), { group: '', kind: 'Binding', version: 'v1' }],
  }
  const [schema, gvk] = special[subresource] ?? [schemaName(descriptor), kindOf(descriptor)]
  switch (subresource) {
    case 'eviction':
    case 'token':
    case 'binding':
      return { post: operation({ action: 'post', gvk, body: schema, result: schema, query: writeParameters }, dialect) }
    case 'finalize':
      return { put: operation({ action: 'put', gvk, body: schema, result: schema, query: writeParameters }, dialect) }
    case 'status':
    case 'scale':
    case 'approval':
    case 'ephemeralcontainers':
    case 'resize':
      return {
        get: operation({ action: 'get', gvk, result: schema, query: [] }, dialect),
        put: operation({ action: 'put', gvk, body: schema, result: schema, query: writeParameters }, dialect),
        patch: operation({ action: 'patch', gvk, body: patchBody, consumes: patchTypesOf(descriptor), result: schema, query: writeParameters }, dialect),
      }
    default:
      return {}
  }
}

function offered(descriptor: ResourceDescriptor, dialect: Dialect, operations: Partial<Record<Verb, readonly [string, Operation]>>): Json {
  const verbs = verbsOf(descriptor)
  const found: Json = {}
  for (const [verb, [method, described]] of Object.entries(operations)) {
    if (verbs.includes(verb as Verb)) found[method] = operation(described, dialect)
  }
  return found
}

const patchBody = fullName('meta.v1.Patch')

function operation({ action, gvk, body, consumes = objectTypes, result, query }: Operation, dialect: Dialect): Json {
  const parameters = query.map(([name, type]) => parameter(name, type, 'query', dialect))
  const marks = { 'x-kubernetes-action': action, 'x-kubernetes-group-version-kind': gvk }
  if (dialect === 2) {
    const bodyParameter = body === undefined ? [] : [{ name: 'body', in: 'body', schema: schemaOf(body, dialect), ...(action === 'delete' ? {} : { required: true }) }]
    return { parameters: [...bodyParameter, ...parameters], consumes: body === undefined ? ['*/*'] : consumes, produces: objectTypes, responses: { 200: { description: 'OK', schema: schemaOf(result, dialect) } }, ...marks }
  }
  const content = (types: readonly string[], name: string): Json => Object.fromEntries(types.map((type) => [type, { schema: schemaOf(name, dialect) }]))
  return {
    parameters,
    ...(body === undefined ? {} : { requestBody: { content: content(consumes, body), ...(action === 'delete' ? {} : { required: true }) } }),
    responses: { 200: { description: 'OK', content: content(objectTypes, result) } },
    ...marks,
  }
}

function schemaOf(name: string, dialect: Dialect): Json {
  if (name === patchBody) return { type: 'object', description: 'Patch is provided to give a concrete name and type to the Kubernetes PATCH request body.' }
  return { $ref: dialect === 3 ? `#/components/schemas/${name}` : `#/definitions/${name}` }
}

function pathParameters(path: string, dialect: Dialect): Json[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => ({ ...parameter(name, 'string', 'path', dialect), required: true }))
}

function parameter(name: string, type: string, place: string, dialect: Dialect): Json {
  return { name, in: place, ...(dialect === 3 ? { schema: { type } } : { type, uniqueItems: true }) }
}
