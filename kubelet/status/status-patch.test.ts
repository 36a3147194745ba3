import t from 'tap'
import { strategicMerge } from '../../controlplane/apiserver/patch/strategic.ts'
import type { PodStatus } from '../../api/types.ts'
import { statusPatch } from './status-patch.ts'

const ready: PodStatus = {
  phase: 'Running', podIP: '10.0.0.1', podIPs: [{ ip: '10.0.0.1' }], reason: 'x',
  conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: 'a' }, { type: 'Initialized', status: 'True' }],
  containerStatuses: [{ name: 'main', ready: true, restartCount: 0, image: 'i', imageID: '' }],
}

t.test('nothing to change is no patch, whatever others wrote', (t) => {
  t.equal(statusPatch({ ...ready, conditions: [...(ready.conditions ?? []), { type: 'example.com/up', status: 'True' }], nominatedNodeName: 'n' }, ready), undefined)
  t.end()
})

const unready: PodStatus = {
  phase: 'Running', podIP: '10.0.0.2', podIPs: [{ ip: '10.0.0.2' }],
  conditions: [{ type: 'Ready', status: 'False', reason: 'ContainersNotReady', lastTransitionTime: 'b' }, { type: 'Initialized', status: 'True' }],
  containerStatuses: [{ name: 'main', ready: false, restartCount: 1, image: 'i', imageID: '' }],
}

t.test('a patch holds what changes and nothing else', (t) => {
  t.same(statusPatch(ready, unready), {
    podIP: '10.0.0.2', reason: null, podIPs: [{ ip: '10.0.0.2' }, { $patch: 'delete', ip: '10.0.0.1' }],
    conditions: [unready.conditions?.[0]], containerStatuses: unready.containerStatuses,
  })
  t.end()
})

t.test('an API server that merges it has what was wanted, both ways', (t) => {
  for (const [have, want] of [[ready, unready], [unready, ready], [{}, ready], [ready, {}]] as const) {
    const merged = strategicMerge('Pod', { status: have }, { status: statusPatch(have, want) ?? {} }) as { status: PodStatus }
    t.equal(statusPatch(merged.status, want), undefined)
  }
  t.end()
})

t.test('a field that an API server fills with null is none', (t) => {
  t.equal(statusPatch({ conditions: [{ type: 'Ready', status: 'True', lastProbeTime: null }] }, { conditions: [{ type: 'Ready', status: 'True' }] }), undefined)
  t.end()
})

t.test('conditions of others are left alone', (t) => {
  t.equal(statusPatch({}, { conditions: [{ type: 'example.com/up', status: 'True' }] }), undefined)
  t.end()
})
