// A version of a custom resource as the request path sees it: the same descriptor that built-in kinds have.
import type { KubeObject } from '../../../api/types.ts'
import type { Column, FieldError, Kept, ResourceDescriptor, Strategy, Subresource } from '../descriptor.ts'
import { apiVersionOf, valueAt } from '../object.ts'
import type { ApiObject } from '../object.ts'
import { ageOf } from '../resources/columns/age.ts'
import { ageColumn, nameColumn } from '../resources/columns/column.ts'
import { versionOf } from './conversion.ts'
import type { Convert } from './conversion.ts'
import type { Definition, DefinitionVersion } from './definition.ts'
import { parseJsonPath, valuesAt } from './json-path.ts'
import { checkRules } from './rules.ts'
import { fillDefaults, prune } from './schema.ts'
import { validateValue } from './validate.ts'

/** The descriptors of all served versions, the preferred one first. */
export function customResources(definition: Definition, convert: Convert): ResourceDescriptor[] {
  const { versions } = definition.spec
  const storage = versions.find((version) => version.storage)
  return versions
    .filter(({ served }) => served)
    .toSorted((a, b) => compareVersions(a.name, b.name))
    .map((version) => ({ ...descriptorOf(definition, version), ...(storage === undefined ? {} : { kept: keptAs(definition, version, storage, convert) }) }))
}

/** Objects are in the store as the storage version of the time when they were written had them, and as the schema was then. */
function keptAs(definition: Definition, version: DefinitionVersion, storage: DefinitionVersion, convert: Convert): Kept {
  const { group } = definition.spec
  const schemas = new Map(definition.spec.versions.map(({ name, schema }) => [name, schema?.openAPIV3Schema ?? {}]))
  const first = async (objects: readonly ApiObject[] | Promise<readonly ApiObject[]>): Promise<ApiObject> => (await objects)[0] as ApiObject
  return {
    as: descriptorOf(definition, storage),
    read: (objects) => {
      for (const object of objects) {
        const schema = schemas.get(versionOf(object, group))
        if (schema === undefined) continue
        prune(schema, object)
        fillDefaults(schema, object)
      }
      return convert(objects, apiVersionOf({ group, version: version.name }))
    },
    write: (object) => first(convert([object], apiVersionOf({ group, version: storage.name }))),
  }
}

function descriptorOf({ spec }: Definition, version: DefinitionVersion): ResourceDescriptor {
  const { group, scope, names } = spec
  return {
    group,
    version: version.name,
    kind: names.kind,
    listKind: names.listKind ?? `${names.kind}List`,
    plural: names.plural,
    singular: names.singular ?? names.kind.toLowerCase(),
    namespaced: scope === 'Namespaced',
    ...(names.shortNames === undefined ? {} : { shortNames: names.shortNames }),
    ...(names.categories === undefined ? {} : { categories: names.categories }),
    ...subresourcesOf(version),
    columns: columnsOf(version),
    strategy: strategyOf(version),
    schema: version.schema?.openAPIV3Schema ?? {},
    fieldSelectors: Object.fromEntries((version.selectableFields ?? []).map(({ jsonPath }) => [jsonPath.replace(/^\./, ''), (object: KubeObject) => textAt(object, jsonPath)])),
  }
}

function textAt(object: KubeObject, path: string): string {
  const value = valueAt(object, path)
  return value === undefined || value === null ? '' : typeof value === 'string' ? value : JSON.stringify(value)
}

function subresourcesOf({ subresources }: DefinitionVersion): Pick<ResourceDescriptor, 'subresources' | 'scale'> {
  const names: Subresource[] = [...(subresources?.status === undefined ? [] : (['status'] as const)), ...(subresources?.scale === undefined ? [] : (['scale'] as const))]
  return { ...(names.length === 0 ? {} : { subresources: names }), ...(subresources?.scale === undefined ? {} : { scale: subresources.scale }) }
}

function strategyOf({ schema, deprecated, deprecationWarning, name }: DefinitionVersion): Strategy {
  const root = schema?.openAPIV3Schema ?? {}
  // Rules may rely on the types that the schema promises.
  const validate = (object: KubeObject, old?: KubeObject): FieldError[] => {
    const before = old === undefined ? undefined : { value: old }
    const errors = validateValue(root, object, '', before)
    return errors.length > 0 ? errors : checkRules(root, object, before)
  }
  return {
    applyDefaults: (object) => fillDefaults(root, object),
    validate: (object, _context, old) => validate(object, old),
    validateStatusUpdate: (object, old) => validate(object, old).filter(({ field }) => field === '' || /^status\b/.test(field)),
    ...(deprecated === true ? { warnings: () => [deprecationWarning ?? `version ${name} is deprecated`] } : {}),
  }
}

function columnsOf({ additionalPrinterColumns }: DefinitionVersion): readonly Column[] {
  if (additionalPrinterColumns === undefined || additionalPrinterColumns.length === 0) return [nameColumn, ageColumn]
  return [
    nameColumn,
    ...additionalPrinterColumns.map(({ name, type, jsonPath, format, description, priority }): Column => {
      const steps = parseJsonPath(jsonPath) ?? []
      return {
        name,
        type: type as Column['type'],
        ...(format === undefined ? {} : { format }),
        ...(priority === undefined ? {} : { priority }),
        description: description ?? `Custom resource definition column (in JSONPath format): ${jsonPath}`,
        value: (object, { now }) => cellOf(valuesAt(steps, object), type, now),
      }
    }),
  ]
}

function cellOf(values: readonly unknown[], type: string, now: number): string | number | boolean | null {
  const [value] = values
  if (value === undefined || value === null) return null
  switch (type) {
    case 'date':
      return typeof value === 'string' ? ageOf(value, now) : null
    case 'boolean':
      return typeof value === 'boolean' ? value : null
    case 'integer':
    case 'number':
      return typeof value === 'number' ? value : null
    default:
      return values.map((one) => (typeof one === 'string' ? one : JSON.stringify(one))).join(',')
  }
}

const shape = /^v(\d+)(?:(alpha|beta)(\d+))?$/
const stability: Readonly<Record<string, number>> = { alpha: 0, beta: 1 }

/** Stable versions before betas before alphas, newer before older, others last (apimachinery pkg/version). */
function compareVersions(a: string, b: string): number {
  const [left, right] = [shape.exec(a), shape.exec(b)]
  if (left === null || right === null) return left === right ? (a < b ? -1 : 1) : left === null ? 1 : -1
  const rank = ([, , word]: RegExpExecArray): number => (word === undefined ? 2 : (stability[word] ?? 0))
  return rank(right) - rank(left) || Number(right[1]) - Number(left[1]) || Number(right[3] ?? 0) - Number(left[3] ?? 0)
}
