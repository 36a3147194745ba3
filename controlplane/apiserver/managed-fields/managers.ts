// Who owns which fields (`metadata.managedFields`): kept up with every write, and decided upon when somebody applies
// (k8s.io/apimachinery/pkg/util/managedfields, structured-merge-diff's merge/update.go). Pure.
import type { ResourceDescriptor } from '../descriptor.ts'
import { apiVersionOf, equalJson, isRecord, timestamp } from '../object.ts'
import type { ApiObject } from '../object.ts'
import { badRequest, StatusError } from '../status.ts'
import { difference, intersection, isEmpty, isFields, pathsOf, union, withParents } from './field-set.ts'
import type { Fields } from './field-set.ts'
import { mergeApplied, removeFields } from './merge.ts'
import { mergeTypeOf } from './types.ts'
import type { MergeType } from './types.ts'
import { compare, fieldsOf, ListError, withoutUnowned } from './walk.ts'
import type { Comparison } from './walk.ts'

export interface ManagedEntry {
  readonly manager: string
  readonly operation: 'Apply' | 'Update'
  readonly apiVersion: string
  readonly time?: string
  readonly fieldsType: 'FieldsV1'
  readonly fieldsV1: Fields
  readonly subresource?: string
}

/** Who writes: `kubectl-edit`, and by which subresource. */
export interface Manager {
  readonly name: string
  readonly subresource?: string
  readonly now: number
}

/** Managers of ordinary updates that are told apart; the oldest of more are taken together. */
const updatersMax = 10
const ancient = 'ancient-changes'
const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration'

/** The entries of an object; undefined when they are not what they should be. */
function entriesOf(object: ApiObject): ManagedEntry[] | undefined {
  const list = object.metadata.managedFields
  if (!Array.isArray(list)) return undefined
  const valid = list.every((entry) => isRecord(entry) && typeof entry['manager'] === 'string' && (entry['operation'] === 'Apply' || entry['operation'] === 'Update') && typeof entry['apiVersion'] === 'string' && entry['fieldsType'] === 'FieldsV1' && isFields(entry['fieldsV1']))
  return valid ? (list as ManagedEntry[]) : undefined
}

/**
 * The entries after an ordinary write: what it changed belongs to its manager, what it removed to nobody. `live` is undefined on
 * create. Undefined when the object is to have none: they were reset with `[{}]`, or it never had any.
 */
export function trackUpdate(descriptor: ResourceDescriptor, live: ApiObject | undefined, object: ApiObject, manager: Manager): ManagedEntry[] | undefined {
  const sent = object.metadata.managedFields
  if (Array.isArray(sent) && sent.length === 1 && isRecord(sent[0]) && Object.keys(sent[0]).length === 0) return undefined
  const given = manager.subresource === undefined ? entriesOf(object) : undefined
  const before = given !== undefined && given.length > 0 ? given : live === undefined ? [] : entriesOf(live)
  if (before === undefined || (live !== undefined && before.length === 0)) return undefined
  const comparison = compare(mergeTypeOf(descriptor), live ?? {}, object)
  if (isEmpty(comparison.changed) && isEmpty(comparison.removed)) return before
  const self: ManagedEntry = { manager: manager.name, operation: 'Update', apiVersion: apiVersionOf(descriptor), ...timeOf(manager), fieldsType: 'FieldsV1', fieldsV1: {}, ...subresourceOf(manager) }
  const own = before.find((entry) => isSame(entry, self))
  const others = takenFrom(before.filter((entry) => entry !== own), union(comparison.changed, comparison.removed))
  const fields = union(difference(own?.fieldsV1 ?? {}, comparison.removed), comparison.changed)
  return sorted(capped(isEmpty(fields) ? others : [...others, { ...self, fieldsV1: fields }]))
}

/** Takes fields from those who have them; who has none left is gone. */
function takenFrom(entries: readonly ManagedEntry[], fields: Fields): ManagedEntry[] {
  return entries
    .map((entry) => (isEmpty(intersection(entry.fieldsV1, fields)) ? entry : { ...entry, fieldsV1: difference(entry.fieldsV1, fields) }))
    .filter(({ fieldsV1 }) => !isEmpty(fieldsV1))
}

export interface Application {
  readonly config: ApiObject
  /** Takes what others have instead of refusing. */
  readonly force: boolean
  readonly manager: Manager
  /** Whether the object has a status of its own way: `main` does not write it, `status` nothing else. */
  readonly part: 'main' | 'status' | 'whole'
}

/**
 * The object after a configuration was applied to it, with its `managedFields`; the live one as it is when nothing changes. Fails
 * with 409 and one cause per field when others own what would change.
 */
export function applyConfiguration(descriptor: ResourceDescriptor, live: ApiObject | undefined, application: Application): ApiObject {
  const { config, manager, part } = application
  const type = mergeTypeOf(descriptor)
  const present = live ?? ({ apiVersion: config.apiVersion, kind: config.kind, metadata: {} } as ApiObject)
  const wanted = partOf(config, part)
  try {
    const sent = fieldsOf(type, wanted)
    const set = withoutUnowned(sent)
    const before = entriesOf(present) ?? (live === undefined ? [] : beforeFirstApply(descriptor, type, live))
    const self: ManagedEntry = { manager: manager.name, operation: 'Apply', apiVersion: apiVersionOf(descriptor), ...timeOf(manager), fieldsType: 'FieldsV1', fieldsV1: set, ...subresourceOf(manager) }
    const own = before.find((entry) => isSame(entry, self))
    const others = before.filter((entry) => entry !== own)
    const merged = mergeApplied(type, present, wanted) as ApiObject
    const pruned = own === undefined ? merged : prune(type, merged, own.fieldsV1, [sent, ...others.map(({ fieldsV1 }) => fieldsV1)])
    const comparison = compare(type, present, pruned)
    const taken = settle(type, others, comparison, application, present)
    const kept = own !== undefined && equalJson(own.fieldsV1, set) && isEmpty(comparison.changed) && isEmpty(comparison.removed)
    const entries = kept ? before : sorted(isEmpty(set) ? taken : [...taken, self])
    return withLastApplied({ ...pruned, metadata: { ...pruned.metadata, managedFields: entries } }, manager, wanted)
  } catch (error) {
    if (error instanceof ListError) throw badRequest(`failed to create typed patch object (${config.metadata.namespace ?? ''}/${config.metadata.name ?? ''}; ${apiVersionOf(descriptor)}, Kind=${descriptor.kind}): ${error.message}`)
    throw error
  }
}

/** kubectl may go back to client-side apply as long as the annotation says what was applied last. */
function withLastApplied(object: ApiObject, { name }: Manager, config: ApiObject): ApiObject {
  const { annotations } = object.metadata
  if (name !== 'kubectl' || annotations?.[lastApplied] === undefined) return object
  const { [lastApplied]: _own, ...others } = config.metadata.annotations ?? {}
  const written = JSON.stringify({ ...config, metadata: { ...config.metadata, annotations: others } })
  return { ...object, metadata: { ...object.metadata, annotations: { ...annotations, [lastApplied]: `${written}\n` } } }
}

/** What was there before anybody was asked belongs to nobody in particular. */
function beforeFirstApply(descriptor: ResourceDescriptor, type: MergeType, live: ApiObject): ManagedEntry[] {
  const fields = compare(type, {}, live).changed
  return isEmpty(fields) ? [] : [{ manager: 'before-first-apply', operation: 'Update', apiVersion: apiVersionOf(descriptor), fieldsType: 'FieldsV1', fieldsV1: fields }]
}

function partOf(config: ApiObject, part: Application['part']): ApiObject {
  const { status, ...rest } = config
  if (part === 'whole') return config
  if (part === 'main') return rest
  const { apiVersion, kind, metadata } = config
  const { name, namespace, resourceVersion, uid } = metadata
  const kept = Object.fromEntries(Object.entries({ name, namespace, resourceVersion, uid }).filter(([, value]) => value !== undefined))
  return { apiVersion, kind, metadata: kept, ...(status === undefined ? {} : { status }) } as ApiObject
}

/** Takes out what this manager applied before, applies no longer, and nobody else has. */
function prune(type: MergeType, merged: ApiObject, last: Fields, owned: readonly Fields[]): ApiObject {
  const all = owned.reduce((sum, fields) => union(sum, fields), {} as Fields)
  const gone = difference(withParents(last), withParents(all))
  if (isEmpty(gone)) return merged
  return removeFields(type, merged, gone) as ApiObject
}

/** The entries of the others once this one has what it applies; refuses when they own it and force is not given. */
function settle(type: MergeType, others: readonly ManagedEntry[], comparison: Comparison, { force, manager }: Application, live: ApiObject): ManagedEntry[] {
  const conflicts = others.map((entry) => ({ entry, fields: intersection(entry.fieldsV1, comparison.changed) })).filter(({ fields }) => !isEmpty(fields))
  if (conflicts.length > 0 && !force && !isOwnHistory(type, conflicts.map(({ fields }) => fields), manager, live)) throw applyConflict(conflicts)
  return takenFrom(others, union(comparison.changed, comparison.removed))
}

/** kubectl that moves from client-side apply: what it applied last, as the annotation says, it may take back. */
function isOwnHistory(type: MergeType, conflicts: readonly Fields[], manager: Manager, live: ApiObject): boolean {
  const text = live.metadata.annotations?.[lastApplied]
  if (manager.name !== 'kubectl' || text === undefined) return false
  try {
    const last: unknown = JSON.parse(text)
    if (!isRecord(last)) return false
    const applied = fieldsOf(type, last)
    return conflicts.every((fields) => isEmpty(difference(fields, applied)))
  } catch {
    // Somebody wrote something else there: then it says nothing.
    return false
  }
}

function applyConflict(conflicts: readonly { readonly entry: ManagedEntry; readonly fields: Fields }[]): StatusError {
  const all = conflicts.flatMap(({ entry, fields }) => pathsOf(fields).toSorted(compareText).map((field) => ({ who: written(entry), field })))
  const causes = all.map(({ who, field }) => ({ reason: 'FieldManagerConflict', message: `conflict with ${who}`, field }))
  const [first] = all
  if (all.length === 1 && first !== undefined) return new StatusError(409, 'Conflict', `Apply failed with 1 conflict: conflict with ${first.who}: ${first.field}`, { causes })
  const lines = [...new Set(all.map(({ who }) => who))].toSorted().flatMap((who) => [`conflicts with ${who}:`, ...all.filter((one) => one.who === who).map(({ field }) => `- ${field}`)])
  return new StatusError(409, 'Conflict', `Apply failed with ${all.length} conflicts: ${lines.join('\n')}`, { causes })
}

function written({ manager, operation, subresource, apiVersion }: ManagedEntry): string {
  const name = `${JSON.stringify(manager)}${subresource === undefined || subresource === '' ? '' : ` with subresource ${JSON.stringify(subresource)}`}`
  return operation === 'Update' ? `${name} using ${apiVersion}` : name
}

function timeOf({ now }: Manager): { time: string } {
  return { time: timestamp(now) }
}

function subresourceOf({ subresource }: Manager): { subresource?: string } {
  return subresource === undefined ? {} : { subresource }
}

/** Whether two entries are the same manager's; one who applies may change the version in which it does. */
function isSame(a: ManagedEntry, b: ManagedEntry): boolean {
  return a.manager === b.manager && a.operation === b.operation && (a.subresource ?? '') === (b.subresource ?? '') && (a.operation === 'Apply' || a.apiVersion === b.apiVersion)
}

function capped(entries: readonly ManagedEntry[]): readonly ManagedEntry[] {
  const updaters = entries.filter(({ operation }) => operation === 'Update').toSorted((a, b) => compareText(a.time ?? '', b.time ?? ''))
  if (updaters.length <= updatersMax) return entries
  const oldest = new Set(updaters.slice(0, updaters.length - updatersMax + 1))
  const [first] = oldest
  if (first === undefined) return entries
  const { subresource: _subresource, ...rest } = first
  const fieldsV1 = [...oldest].reduce((sum, entry) => union(sum, entry.fieldsV1), {} as Fields)
  return [...entries.filter((entry) => !oldest.has(entry)), { ...rest, manager: ancient, fieldsV1 }]
}

/** Appliers first, then by time and name. */
function sorted(entries: readonly ManagedEntry[]): ManagedEntry[] {
  return entries.toSorted((a, b) => compareText(a.operation, b.operation) || compareText(a.time ?? '', b.time ?? '') || compareText(a.manager, b.manager))
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
