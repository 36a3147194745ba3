// The columns of pods. What STATUS says is worked out from phase, conditions and the states of the containers, as
// Kubernetes does (pkg/printers/internalversion: printPod).
import type { Container, ContainerStatus, Pod } from '../../../../api/types.ts'
import type { Column } from '../../descriptor.ts'
import { ageOf } from './age.ts'
import { ageColumn, column, nameColumn, none, wide } from './column.ts'

interface PodSummary {
  readonly ready: number
  readonly total: number
  readonly reason: string
  readonly restarts: number
  /** When a container last ended and was started again; 0 when none was. */
  readonly lastRestart: number
}

/** A running count over containers. */
interface Tally {
  ready: number
  restarts: number
  lastRestart: number
  reason: string
}

export const podColumns: readonly Column[] = [
  nameColumn,
  column<Pod>('Ready', (pod) => {
    const { ready, total } = summarize(pod)
    return `${ready}/${total}`
  }),
  column<Pod>('Status', (pod) => summarize(pod).reason),
  column<Pod>('Restarts', (pod, now) => {
    const { restarts, lastRestart } = summarize(pod)
    return restarts === 0 || lastRestart === 0 ? String(restarts) : `${restarts} (${ageOf(new Date(lastRestart).toISOString(), now)} ago)`
  }),
  ageColumn,
  wide<Pod>('IP', ({ status }) => status?.podIPs?.[0]?.ip ?? status?.podIP ?? none),
  wide<Pod>('Node', ({ spec }) => spec.nodeName ?? none),
  wide<Pod>('Nominated Node', ({ status }) => status?.nominatedNodeName ?? none),
  wide<Pod>('Readiness Gates', readinessGates),
]

/** Shared by three columns of one row, which come one after the other. */
let last: { readonly pod: Pod; readonly summary: PodSummary } | undefined

function summarize(pod: Pod): PodSummary {
  if (last?.pod !== pod) last = { pod, summary: summaryOf(pod) }
  return last.summary
}

function summaryOf(pod: Pod): PodSummary {
  const { spec, status } = pod
  const conditions = status?.conditions ?? []
  const gated = conditions.some(({ type, reason }) => type === 'PodScheduled' && reason === 'SchedulingGated')
  const phase = status?.phase ?? ''
  const sidecars = (spec.initContainers ?? []).filter(isSidecar)
  const start: Tally = { ready: 0, restarts: 0, lastRestart: 0, reason: gated ? 'SchedulingGated' : nonEmpty(status?.reason) ?? phase }
  const init = tallyInit(pod, start)
  const isInitialized = conditions.some(({ type, status }) => type === 'Initialized' && status === 'True')
  const tally = init.waiting && !isInitialized ? init.all : tallyContainers(pod, { ...init.sidecars, reason: init.all.reason })
  return { ...tally, reason: endingReason(pod) ?? tally.reason, total: spec.containers.length + sidecars.length }
}

/** What a deletion under way shows, whatever the containers do. */
function endingReason({ metadata, status }: Pod): string | undefined {
  if (metadata.deletionTimestamp === undefined) return undefined
  if (status?.reason === 'NodeLost') return 'Unknown'
  return status?.phase === 'Succeeded' || status?.phase === 'Failed' ? undefined : 'Terminating'
}

function tallyInit({ spec, status }: Pod, start: Tally): { readonly waiting: boolean; readonly all: Tally; readonly sidecars: Tally } {
  const containers = new Map((spec.initContainers ?? []).map((container) => [container.name, container]))
  const all = { ...start }
  const sidecars = { ...start }
  for (const [i, container] of (status?.initContainerStatuses ?? []).entries()) {
    const sidecar = isSidecar(containers.get(container.name))
    countRestarts(all, container)
    if (sidecar) countRestarts(sidecars, container)
    if (container.state?.terminated?.exitCode === 0) continue
    if (sidecar && container.started === true) {
      if (container.ready) sidecars.ready = all.ready += 1
      continue
    }
    all.reason = initReason(container) ?? `Init:${i}/${containers.size}`
    return { waiting: true, all, sidecars }
  }
  return { waiting: false, all, sidecars }
}

function initReason({ state }: ContainerStatus): string | undefined {
  if (state?.terminated !== undefined) {
    const { reason, signal = 0, exitCode } = state.terminated
    return `Init:${nonEmpty(reason) ?? (signal === 0 ? `ExitCode:${exitCode}` : `Signal:${signal}`)}`
  }
  const reason = nonEmpty(state?.waiting?.reason)
  return reason === undefined || reason === 'PodInitializing' ? undefined : `Init:${reason}`
}

function tallyContainers({ status }: Pod, start: Tally): Tally {
  const tally = { ...start }
  let hasRunning = false
  // The first container that has something to say wins.
  for (const container of (status?.containerStatuses ?? []).toReversed()) {
    countRestarts(tally, container)
    const { waiting, terminated, running } = container.state ?? {}
    const waitingReason = nonEmpty(waiting?.reason)
    if (waitingReason !== undefined) tally.reason = waitingReason
    else if (terminated !== undefined) {
      const { reason, signal = 0, exitCode } = terminated
      tally.reason = nonEmpty(reason) ?? (signal === 0 ? `ExitCode:${exitCode}` : `Signal:${signal}`)
    } else if (container.ready && running !== undefined) {
      hasRunning = true
      tally.ready += 1
    }
  }
  if (tally.reason === 'Completed' && hasRunning) {
    const isReady = (status?.conditions ?? []).some(({ type, status }) => type === 'Ready' && status === 'True')
    tally.reason = isReady ? 'Running' : 'NotReady'
  }
  return tally
}

function countRestarts(tally: Tally, { restartCount, lastState }: ContainerStatus): void {
  tally.restarts += restartCount
  const ended = Date.parse(lastState?.terminated?.finishedAt ?? '')
  if (ended > tally.lastRestart) tally.lastRestart = ended
}

function readinessGates({ spec, status }: Pod): string {
  const gates = spec.readinessGates ?? []
  if (gates.length === 0) return none
  const open = gates.filter((gate) => (status?.conditions ?? []).some(({ type, status }) => type === gate.conditionType && status === 'True'))
  return `${open.length}/${gates.length}`
}

function isSidecar(container: Container | undefined): boolean {
  return container?.restartPolicy === 'Always'
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text
}
