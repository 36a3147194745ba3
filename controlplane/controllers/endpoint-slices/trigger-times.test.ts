import t from 'tap'
import type { EndpointSlice, Pod, Service } from '../../../api/types.ts'
import { TriggerTimes, withTrigger } from './trigger-times.ts'

const at = (second: number): string => `2026-01-01T00:00:${String(second).padStart(2, '0')}Z`
const service: Service = { metadata: { name: 'web', namespace: 'default', creationTimestamp: at(5) }, spec: {} }
const pod = (name: string, second: number | undefined, ready = true): Pod => ({ metadata: { name, namespace: 'default' }, spec: { containers: [] }, status: { conditions: second === undefined ? [] : [{ type: 'Ready', status: ready ? 'True' : 'False', lastTransitionTime: at(second) }] } })

t.test('the earliest change since the last look', async (t) => {
  const looks: readonly { readonly name: string; readonly pods: readonly Pod[]; readonly changed: number | undefined }[] = [
    { name: 'a new service counts from its creation', pods: [], changed: 5 },
    { name: 'nothing new', pods: [], changed: undefined },
    { name: 'a pod that was not Ready yet has no time', pods: [pod('a', undefined)], changed: undefined },
    { name: 'the first of two pods that became Ready', pods: [pod('a', 9), pod('b', 8)], changed: 8 },
    { name: 'a pod that ceased to be Ready', pods: [pod('a', 9), pod('b', 20, false)], changed: 20 },
    { name: 'a pod that went leaves no time', pods: [pod('a', 9)], changed: undefined },
    { name: 'a pod of the same name as one before', pods: [pod('a', 9), pod('b', 21)], changed: 21 },
  ]
  const times = new TriggerTimes()
  for (const { name, pods, changed } of looks) t.equal(times.changedAt('default/web', service, pods), changed === undefined ? undefined : Date.parse(at(changed)), name)
  times.forget('default/web')
  t.equal(times.changedAt('default/web', service, []), Date.parse(at(5)), 'a service that was deleted is new again')
})

t.test('slices carry it, and lose the one of an earlier change', async (t) => {
  const slice: EndpointSlice = { metadata: { name: 'x', annotations: { mine: 'y' } }, addressType: 'IPv4' }
  const marked = withTrigger(slice, Date.parse(at(7)))
  t.strictSame(marked.metadata.annotations, { mine: 'y', 'endpoints.kubernetes.io/last-change-trigger-time': '2026-01-01T00:00:07Z' })
  t.strictSame(withTrigger(marked, undefined).metadata.annotations, { mine: 'y' })
  t.strictSame(withTrigger({ ...slice, metadata: { name: 'x' } }, undefined).metadata, { name: 'x' })
})
