// The short way to write a row of the resource table.
import type { Column, ResourceDescriptor } from '../descriptor.ts'

type Extra = Omit<ResourceDescriptor, 'group' | 'version' | 'kind' | 'plural' | 'singular' | 'namespaced' | 'columns'>

interface Rows {
  readonly namespaced: (kind: string, plural: string, columns: readonly Column[], extra?: Extra) => ResourceDescriptor
  readonly cluster: (kind: string, plural: string, columns: readonly Column[], extra?: Extra) => ResourceDescriptor
  readonly virtual: (kind: string, plural: string, scope: 'namespaced' | 'cluster') => ResourceDescriptor
}

/** Rows of one group and version. */
export function rowsOf(group: string, version: string): Rows {
  const row = (kind: string, plural: string, namespaced: boolean, columns: readonly Column[], extra: Extra): ResourceDescriptor => ({
    group, version, kind, plural, singular: kind.toLowerCase(), namespaced, columns, ...extra,
  })
  return {
    namespaced: (kind, plural, columns, extra = {}) => row(kind, plural, true, columns, extra),
    cluster: (kind, plural, columns, extra = {}) => row(kind, plural, false, columns, extra),
    virtual: (kind, plural, scope) => row(kind, plural, scope === 'namespaced', [], { virtual: true }),
  }
}
