import t from 'tap'
import type { ContainerStatus, Pod, PodStatus } from '../../../../api/types.ts'
import { ago, cells } from '../test-support/table.ts'
import { podColumns } from './pod.ts'

type State = ContainerStatus['state']

function container(state: State, rest: Partial<ContainerStatus> = {}): ContainerStatus {
  return { name: 'a', image: 'x', imageID: '', ready: state?.running !== undefined, restartCount: 0, ...(state === undefined ? {} : { state }), ...rest }
}

function pod(status: PodStatus, rest: { spec?: Partial<Pod['spec']>; metadata?: Partial<Pod['metadata']> } = {}): Pod {
  return { metadata: { name: 'web', creationTimestamp: ago(90), ...rest.metadata }, spec: { containers: [{ name: 'a' }], ...rest.spec }, status }
}

const running = { running: { startedAt: ago(60) } }
const ended = (exitCode: number, reason?: string): State => ({ terminated: { exitCode, ...(reason === undefined ? {} : { reason }) } })
const waiting = (reason: string): State => ({ waiting: { reason } })
const two = { containers: [{ name: 'a' }, { name: 'b' }] }
const oneInit = { initContainers: [{ name: 'i' }] }
const sidecar = { initContainers: [{ name: 's', restartPolicy: 'Always' as const }] }
const initialized = { type: 'Initialized', status: 'True' as const }

const cases: [string, Pod, string][] = [
  ['a pod that waits for a node', pod({ phase: 'Pending' }), 'web | 0/1 | Pending | 0 | 90s'],
  ['a running pod', pod({ phase: 'Running', containerStatuses: [container(running)] }), 'web | 1/1 | Running | 0 | 90s'],
  ['an image that cannot be had', pod({ phase: 'Pending', containerStatuses: [container(waiting('ImagePullBackOff'))] }), 'web | 0/1 | ImagePullBackOff | 0 | 90s'],
  [
    'a container that crashes again and again',
    pod({ phase: 'Running', containerStatuses: [container(waiting('CrashLoopBackOff'), { restartCount: 3, lastState: { terminated: { exitCode: 1, finishedAt: ago(10) } } })] }),
    'web | 0/1 | CrashLoopBackOff | 3 (10s ago) | 90s',
  ],
  ['a pod that has done its work', pod({ phase: 'Succeeded', containerStatuses: [container(ended(0, 'Completed'))] }), 'web | 0/1 | Completed | 0 | 90s'],
  ['an error without a reason', pod({ phase: 'Failed', containerStatuses: [container(ended(3))] }), 'web | 0/1 | ExitCode:3 | 0 | 90s'],
  ['a signal', pod({ phase: 'Failed', containerStatuses: [container({ terminated: { exitCode: 0, signal: 9 } })] }), 'web | 0/1 | Signal:9 | 0 | 90s'],
  ['an evicted pod', pod({ phase: 'Failed', reason: 'Evicted' }), 'web | 0/1 | Evicted | 0 | 90s'],
  [
    'one of two containers that has ended, while the pod is ready',
    pod({ phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }], containerStatuses: [container(ended(0, 'Completed')), container(running)] }, { spec: two }),
    'web | 1/2 | Running | 0 | 90s',
  ],
  ['the same, while it is not', pod({ phase: 'Running', containerStatuses: [container(ended(0, 'Completed')), container(running)] }, { spec: two }), 'web | 1/2 | NotReady | 0 | 90s'],
  ['the first container with a reason wins', pod({ phase: 'Running', containerStatuses: [container(waiting('ErrImagePull')), container(waiting('Later'))] }, { spec: two }), 'web | 0/2 | ErrImagePull | 0 | 90s'],
  [
    'an init container at work',
    pod({ phase: 'Pending', initContainerStatuses: [container(running, { name: 'i', ready: false })], containerStatuses: [container(waiting('PodInitializing'))] }, { spec: oneInit }),
    'web | 0/1 | Init:0/1 | 0 | 90s',
  ],
  ['an init container that failed', pod({ phase: 'Pending', initContainerStatuses: [container(ended(1, 'Error'), { name: 'i' })] }, { spec: oneInit }), 'web | 0/1 | Init:Error | 0 | 90s'],
  ['an init container without an image', pod({ phase: 'Pending', initContainerStatuses: [container(waiting('ErrImagePull'), { name: 'i' })] }, { spec: oneInit }), 'web | 0/1 | Init:ErrImagePull | 0 | 90s'],
  [
    'restarts of init containers count only as long as they run',
    pod({ phase: 'Running', conditions: [initialized], initContainerStatuses: [container(ended(0, 'Completed'), { name: 'i', restartCount: 2 })], containerStatuses: [container(running, { restartCount: 1 })] }, { spec: oneInit }),
    'web | 1/1 | Running | 1 | 90s',
  ],
  [
    'a sidecar counts as a container',
    pod({ phase: 'Running', conditions: [initialized], initContainerStatuses: [container(running, { name: 's', started: true, restartCount: 1 })], containerStatuses: [container(running)] }, { spec: sidecar }),
    'web | 2/2 | Running | 1 | 90s',
  ],
  ['a pod behind a gate', pod({ phase: 'Pending', conditions: [{ type: 'PodScheduled', status: 'False', reason: 'SchedulingGated' }] }), 'web | 0/1 | SchedulingGated | 0 | 90s'],
  ['a pod on its way out', pod({ phase: 'Running', containerStatuses: [container(running)] }, { metadata: { deletionTimestamp: ago(1) } }), 'web | 1/1 | Terminating | 0 | 90s'],
  ['a finished pod that a finalizer keeps', pod({ phase: 'Succeeded', containerStatuses: [container(ended(0, 'Completed'))] }, { metadata: { deletionTimestamp: ago(1) } }), 'web | 0/1 | Completed | 0 | 90s'],
  ['a deleted pod on a lost node', pod({ phase: 'Running', reason: 'NodeLost' }, { metadata: { deletionTimestamp: ago(1) } }), 'web | 0/1 | Unknown | 0 | 90s'],
]

for (const [name, object, row] of cases) {
  t.test(`STATUS of ${name}`, (t) => {
    t.equal(cells(podColumns, object), row)
    t.end()
  })
}

t.test('-o wide adds addresses, node and gates', (t) => {
  const gates = { readinessGates: [{ conditionType: 'a' }, { conditionType: 'b' }], nodeName: 'node-1' }
  const status: PodStatus = { phase: 'Running', podIP: '10.244.1.2', podIPs: [{ ip: '10.244.1.2' }], conditions: [{ type: 'a', status: 'True' }], containerStatuses: [container(running)] }
  t.equal(cells(podColumns, pod(status, { spec: gates }), true), 'web | 1/1 | Running | 0 | 90s | 10.244.1.2 | node-1 | <none> | 1/2')
  t.equal(cells(podColumns, pod({ phase: 'Pending' }), true), 'web | 0/1 | Pending | 0 | 90s | <none> | <none> | <none> | <none>')
  t.end()
})
