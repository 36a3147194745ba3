// CustomResourceDefinitions themselves: what they default to, and what is wrong with them
// (k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1 and validation).
import type { KubeObject } from '../../../api/types.ts'
import type { FieldError, Strategy } from '../descriptor.ts'
import { isRecord, valueAt } from '../object.ts'
import type { ClientConfig } from '../outbound.ts'
import { validateClientConfig } from '../resources/validation/admission.ts'
import { FieldErrors } from '../resources/validation/errors.ts'
import { parseJsonPath } from './json-path.ts'
import { expensiveRules } from './rules.ts'
import type { Schema } from './schema.ts'
import { checkStructure } from './structural.ts'

export interface DefinitionVersion {
  readonly name: string
  readonly served: boolean
  readonly storage: boolean
  readonly deprecated?: boolean
  readonly deprecationWarning?: string
  readonly schema?: { readonly openAPIV3Schema?: Schema }
  readonly subresources?: { readonly status?: object; readonly scale?: { readonly specReplicasPath: string; readonly statusReplicasPath: string; readonly labelSelectorPath?: string } }
  readonly additionalPrinterColumns?: readonly { readonly name: string; readonly type: string; readonly jsonPath: string; readonly format?: string; readonly description?: string; readonly priority?: number }[]
  readonly selectableFields?: readonly { readonly jsonPath: string }[]
}

export interface Names {
  readonly plural: string
  readonly kind: string
  singular?: string
  listKind?: string
  readonly shortNames?: readonly string[]
  readonly categories?: readonly string[]
}

/** Of ConversionReview, the newest first. */
export const reviewVersions: readonly string[] = ['v1', 'v1beta1']

export interface WebhookConversion {
  readonly clientConfig?: ClientConfig
  readonly conversionReviewVersions?: readonly string[]
}

export interface Definition extends KubeObject {
  readonly spec: { readonly group: string; readonly scope: string; readonly names: Names; readonly versions: readonly DefinitionVersion[]; conversion?: { strategy?: string; readonly webhook?: WebhookConversion }; readonly preserveUnknownFields?: boolean }
  status?: { readonly conditions?: readonly Condition[]; readonly acceptedNames?: Names; readonly storedVersions?: readonly string[] }
}

export interface Condition {
  readonly type: string
  readonly status: string
  readonly reason: string
  readonly message: string
  readonly lastTransitionTime: string
}

/** Holds a definition until its objects are gone. */
export const cleanupFinalizer = 'customresourcecleanup.apiextensions.k8s.io'

export const definitionStrategy: Strategy = {
  applyDefaults(object) {
    const { spec } = object as Definition
    if (!isRecord(spec) || !isRecord(spec.names)) return
    const { names } = spec
    if (typeof names.kind === 'string') {
      names.singular ??= names.kind.toLowerCase()
      names.listKind ??= `${names.kind}List`
    }
    spec.conversion ??= {}
    spec.conversion.strategy ??= 'None'
    const service = valueAt(spec.conversion, '.webhook.clientConfig.service')
    if (isRecord(service)) service['port'] ??= 443
  },
  prepareForCreate(object) {
    object.metadata.finalizers = [...new Set([...(object.metadata.finalizers ?? []), cleanupFinalizer])]
  },
  validate: (object, _context, old) => [...validateDefinition(object as Definition), ...(old === undefined ? validateApproval(object as Definition) : [])],
  validateUpdate(object, old) {
    const [{ spec: now }, { spec: before }] = [object as Definition, old as Definition]
    const errors = new FieldErrors()
    if (!isWhole(now) || !isWhole(before)) return []
    if (now.group !== before.group) errors.immutable('spec.group', now.group)
    if (now.names.plural !== before.names.plural) errors.immutable('spec.names.plural', now.names.plural)
    if (now.scope !== before.scope) errors.immutable('spec.scope', now.scope)
    if (now.names.kind !== before.names.kind) errors.immutable('spec.names.kind', now.names.kind)
    for (const version of (old as Definition).status?.storedVersions ?? []) {
      if (!now.versions.some(({ name }) => name === version)) errors.invalid('status.storedVersions', version, 'must appear in spec.versions')
    }
    return errors.list
  },
}

/** Whether a spec has what `validate` requires of it. */
function isWhole(spec: unknown): boolean {
  return isRecord(spec) && isRecord(spec['names']) && Array.isArray(spec['versions'])
}

const label = /^[a-z]([-a-z0-9]*[a-z0-9])?$/
const group = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+$/

const approval = 'api-approved.kubernetes.io'

/** Whether a definition is of a group that belongs to Kubernetes, and what its annotation says of that (KEP-1111). */
export function approvalOf({ metadata, spec }: Definition): { readonly isApproved: boolean; readonly reason: string; readonly message: string } | undefined {
  if (!/(?:^|\.)(?:k8s|kubernetes)\.io$/.test(spec.group)) return undefined
  const said = metadata.annotations?.[approval] ?? ''
  if (said.startsWith('unapproved')) return { isApproved: false, reason: 'UnapprovedAnnotation', message: `not approved: ${JSON.stringify(said)}` }
  if (URL.canParse(said)) return { isApproved: true, reason: 'ApprovedAnnotation', message: `approved in ${said}` }
  return { isApproved: false, reason: said === '' ? 'MissingAnnotation' : 'InvalidAnnotation', message: `protected groups must have approval annotation ${JSON.stringify(approval)}, see https://github.com/kubernetes/enhancements/pull/1111` }
}

function validateApproval(definition: Definition): FieldError[] {
  const errors = new FieldErrors()
  const found = isRecord(definition.spec) && typeof definition.spec.group === 'string' ? approvalOf(definition) : undefined
  if (found?.reason === 'MissingAnnotation') errors.required(`metadata.annotations[${approval}]`, found.message)
  if (found?.reason === 'InvalidAnnotation') errors.invalid(`metadata.annotations[${approval}]`, definition.metadata.annotations?.[approval], found.message)
  return errors.list
}

function validateDefinition({ metadata, spec }: Definition): FieldError[] {
  const errors = new FieldErrors()
  if (!isRecord(spec)) {
    errors.required('spec')
    return errors.list
  }
  const { names, scope, versions } = spec
  if (typeof spec.group !== 'string' || !group.test(spec.group)) errors.invalid('spec.group', spec.group ?? '', 'should be a domain with at least one dot')
  errors.oneOf('spec.scope', scope, ['Cluster', 'Namespaced'])
  if (!isRecord(names) || typeof names.plural !== 'string' || typeof names.kind !== 'string') errors.required('spec.names', 'plural and kind are required')
  else {
    if (!label.test(names.plural)) errors.invalid('spec.names.plural', names.plural, 'must be a lowercase RFC 1035 label')
    if (!label.test(names.kind.toLowerCase())) errors.invalid('spec.names.kind', names.kind, 'may have mixed case, but should otherwise match an RFC 1035 label')
    if (names.kind === names.listKind) errors.invalid('spec.names.listKind', names.listKind, 'kind and listKind may not be the same')
    if (metadata.name !== `${names.plural}.${spec.group}`) errors.invalid('metadata.name', metadata.name, `must be spec.names.plural+"."+spec.group`)
  }
  errors.list.push(...validateVersions(versions))
  if (spec.conversion !== undefined) validateConversion(spec.conversion, errors)
  if (spec.preserveUnknownFields === true) errors.invalid('spec.preserveUnknownFields', true, 'must be false in order to use defaults in the schema')
  return errors.list
}

function validateConversion({ strategy, webhook }: NonNullable<Definition['spec']['conversion']>, errors: FieldErrors): void {
  if (strategy === 'None') {
    if (webhook !== undefined) errors.forbidden('spec.conversion.webhook', 'should not be set when strategy is not set to Webhook')
  } else if (strategy !== 'Webhook') errors.unsupported('spec.conversion.strategy', strategy, ['None', 'Webhook'])
  else if (!isRecord(webhook) || !isRecord(webhook.clientConfig)) errors.required('spec.conversion.webhook.clientConfig', 'required when strategy is set to Webhook')
  else {
    const { clientConfig, conversionReviewVersions } = webhook as WebhookConversion
    validateClientConfig((clientConfig ?? {}) as Record<string, unknown>, 'spec.conversion.webhook.clientConfig', errors)
    if (!Array.isArray(conversionReviewVersions) || conversionReviewVersions.length === 0) errors.required('spec.conversion.webhook.conversionReviewVersions')
    else if (!conversionReviewVersions.some((version) => reviewVersions.includes(String(version)))) errors.invalid('spec.conversion.webhook.conversionReviewVersions', conversionReviewVersions, `must include at least one of ${reviewVersions.join(', ')}`)
  }
}

function validateVersions(versions: readonly DefinitionVersion[] | undefined): FieldError[] {
  const errors = new FieldErrors()
  if (!Array.isArray(versions) || versions.length === 0) {
    errors.required('spec.versions', 'must have at least one version')
    return errors.list
  }
  const all = versions as readonly DefinitionVersion[]
  if (all.filter(({ storage }) => storage).length !== 1) errors.invalid('spec.versions', all.map(({ name }) => name), 'must have exactly one version marked as storage version')
  all.forEach((version, i) => {
    const at = `spec.versions[${i}]`
    if (typeof version.name !== 'string' || !label.test(version.name)) errors.invalid(`${at}.name`, version.name, 'must be a lowercase RFC 1035 label')
    if (all.findIndex(({ name }) => name === version.name) !== i) errors.duplicate(`${at}.name`, version.name)
    const schema = version.schema?.openAPIV3Schema
    if (schema === undefined) errors.required(`${at}.schema.openAPIV3Schema`, 'schemas are required')
    else {
      if (schema.type !== 'object') errors.invalid(`${at}.schema.openAPIV3Schema.type`, schema.type ?? '', 'must be object at the root')
      checkStructure(schema, `${at}.schema.openAPIV3Schema`, errors)
      for (const { field, detail } of errors.list.length > 0 ? [] : expensiveRules(schema, `${at}.schema.openAPIV3Schema`)) errors.forbidden(field, detail)
    }
    version.additionalPrinterColumns?.forEach((column, j) => {
      if (typeof column.jsonPath !== 'string' || parseJsonPath(column.jsonPath) === undefined) errors.invalid(`${at}.additionalPrinterColumns[${j}].jsonPath`, column.jsonPath, 'must be a valid JSON path')
      errors.oneOf(`${at}.additionalPrinterColumns[${j}].type`, column.type, ['boolean', 'date', 'integer', 'number', 'string'])
    })
    validateSelectable(version, at, errors)
    const scale = version.subresources?.scale
    if (scale !== undefined && !isBelow('.spec.', scale.specReplicasPath)) errors.invalid(`${at}.subresources.scale.specReplicasPath`, scale.specReplicasPath, 'should be a json path under .spec')
    if (scale !== undefined && !isBelow('.status.', scale.statusReplicasPath)) errors.invalid(`${at}.subresources.scale.statusReplicasPath`, scale.statusReplicasPath, 'should be a json path under .status')
  })
  return errors.list
}

const selectableMax = 8

/** Fields that can be selected by are plain ones of the schema, and not of the metadata (KEP-4358). */
function validateSelectable({ selectableFields = [], schema }: DefinitionVersion, at: string, errors: FieldErrors): void {
  if (selectableFields.length > selectableMax) errors.tooMany(`${at}.selectableFields`, selectableFields.length, selectableMax)
  selectableFields.forEach(({ jsonPath }, i) => {
    const field = `${at}.selectableFields[${i}].jsonPath`
    if (typeof jsonPath !== 'string' || !/^(?:\.[A-Za-z_$][\w$-]*)+$/.test(jsonPath)) return errors.invalid(field, jsonPath, 'is an invalid path: must be a simple path of fields such as .spec.color')
    if (/^\.(?:metadata|apiVersion|kind)\b/.test(jsonPath)) return errors.invalid(field, jsonPath, 'must not point to fields in metadata')
    if (selectableFields.findIndex((other) => other.jsonPath === jsonPath) !== i) errors.duplicate(field, jsonPath)
    const found = jsonPath.split('.').slice(1).reduce<Schema | undefined>((one, name) => one?.properties?.[name], schema?.openAPIV3Schema)
    if (found === undefined) errors.invalid(field, jsonPath, 'is an invalid path: does not refer to a valid field')
    else if (!['string', 'boolean', 'integer'].includes(found.type ?? '')) errors.invalid(field, jsonPath, 'must point to a field of type string, boolean or integer')
  })
}

function isBelow(root: string, path: unknown): boolean {
  return typeof path === 'string' && path.startsWith(root)
}
