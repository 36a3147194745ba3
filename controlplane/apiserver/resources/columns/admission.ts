// The columns of admissionregistration.k8s.io (pkg/printers/internalversion).
import type { AnyObject } from '../../../../api/types.ts'
import type { Column } from '../../descriptor.ts'
import { isRecord, valueAt } from '../../object.ts'
import { ageColumn, column, integer, nameColumn } from './column.ts'

const unset = '<unset>'

function count(path: string): (object: AnyObject) => number {
  return (object) => {
    const list = valueAt(object, path)
    return Array.isArray(list) ? list.length : 0
  }
}

function text(object: unknown, path: string): string {
  const value = valueAt(object, path)
  return typeof value === 'string' ? value : ''
}

export const webhookColumns: readonly Column[] = [nameColumn, integer('Webhooks', count('.webhooks')), ageColumn]

const paramKind = column('ParamKind', (object) => (valueAt(object, '.spec.paramKind') === undefined ? unset : `${text(object, '.spec.paramKind.apiVersion')}/${text(object, '.spec.paramKind.kind')}`))

export const policyColumns: readonly Column[] = [nameColumn, integer('Validations', count('.spec.validations')), paramKind, ageColumn]
export const mutatingPolicyColumns: readonly Column[] = [nameColumn, integer('Mutations', count('.spec.mutations')), paramKind, ageColumn]

export const policyBindingColumns: readonly Column[] = [
  nameColumn,
  column('PolicyName', (object) => text(object, '.spec.policyName')),
  column('ParamRef', (object) => {
    const ref = valueAt(object, '.spec.paramRef')
    if (!isRecord(ref)) return unset
    const name = text(ref, '.name') === '' ? '*' : text(ref, '.name')
    const namespace = text(ref, '.namespace')
    return namespace === '' ? name : `${namespace}/${name}`
  }),
  ageColumn,
]
