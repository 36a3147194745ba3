import t from 'tap'
import type { OwnerReference } from '../../../api/types.ts'
import type { Item } from './graph.ts'
import { planItem } from './plan.ts'
import type { Operation, OwnerState } from './plan.ts'

const resource = { group: '', version: 'v1', plural: 'things', kind: 'Thing', namespaced: true, verbs: [] }
const owner = (uid: string, blockOwnerDeletion = false): OwnerReference => ({ apiVersion: 'v1', kind: 'Thing', name: uid, uid, blockOwnerDeletion })

function item(uid: string, owners: OwnerReference[] = [], finalizers?: string[]): Item {
  return { resource, metadata: { uid, name: uid, ownerReferences: owners, ...(finalizers === undefined ? {} : { finalizers, deletionTimestamp: '2026-01-01T00:00:00Z' }) } }
}

const short = (operations: readonly Operation[]): string[] => operations.map((operation) => {
  const { uid = '' } = operation.item.metadata
  return operation.kind === 'delete' ? `delete ${uid} ${operation.policy}` : operation.kind === 'disown' ? `disown ${uid} of ${operation.owners.join(',')}` : operation.kind === 'unfinalize' ? `unfinalize ${uid}` : `revisit ${uid}`
})

const cases: readonly { readonly title: string; readonly item: Item; readonly dependents?: Item[]; readonly states?: Record<string, OwnerState>; readonly expect: string[] }[] = [
  { title: 'what nobody owns is left alone', item: item('x'), expect: [] },
  { title: 'what has its owner is left alone', item: item('x', [owner('a')]), states: { a: 'solid' }, expect: [] },
  { title: 'what has lost its only owner goes', item: item('x', [owner('a')]), states: { a: 'absent' }, expect: ['delete x Background'] },
  { title: 'what has one owner left loses the reference to the other', item: item('x', [owner('a'), owner('b')]), states: { a: 'absent', b: 'solid' }, expect: ['disown x of a'] },
  { title: 'while an owner cannot be found out, nothing happens', item: item('x', [owner('a'), owner('b')]), states: { a: 'absent', b: 'unknown' }, expect: [] },
  { title: 'what an owner waits for goes', item: item('x', [owner('a')]), states: { a: 'waiting' }, expect: ['delete x Background'] },
  { title: 'what an owner waits for, and has dependents itself, waits for them in turn', item: item('x', [owner('a')]), dependents: [item('y', [owner('x')])], states: { a: 'waiting' }, expect: ['delete x Foreground'] },
  { title: 'two that own each other do not both wait', item: item('x', [owner('a')]), dependents: [item('a', [owner('x')], ['foregroundDeletion'])], states: { a: 'waiting' }, expect: ['delete x Background'] },
  { title: 'an owner in foreground deletion has its dependents looked at', item: item('a', [], ['foregroundDeletion']), dependents: [item('x', [owner('a', true)]), item('y', [owner('a')])], expect: ['revisit x', 'revisit y'] },
  { title: 'dependents that are going already are waited for', item: item('a', [], ['foregroundDeletion']), dependents: [item('x', [owner('a', true)], ['z'])], expect: [] },
  { title: 'dependents that do not block are not waited for', item: item('a', [], ['foregroundDeletion']), dependents: [item('x', [owner('a')])], expect: ['unfinalize a'] },
  { title: 'orphaning sets dependents free before the owner goes', item: item('a', [], ['orphan']), dependents: [item('x', [owner('a')])], expect: ['disown x of a', 'unfinalize a'] },
  { title: "another's finalizer is none of our business", item: item('a', [], ['example.com/x']), dependents: [item('x', [owner('a')])], expect: [] },
]
for (const { title, item, dependents = [], states = {}, expect } of cases) t.test(title, async (t) => t.same(short(planItem(item, dependents, ({ uid }) => states[uid] ?? 'unknown')), expect))
