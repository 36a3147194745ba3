/** Which nodes get a daemon's pod, which pods go, and what the status says. Pure. */
import type { DaemonSet, DaemonSetStatus, IntOrString, Node, Pod, PodSpec, Toleration } from '../../../api/types.ts'
import { matchesNode } from '../../scheduler/node-affinity.ts'
import { untolerated } from '../../scheduler/taints.ts'
import { availableInMs, isReady, isTerminating } from '../pod-state.ts'
import { hashOf } from '../revisions.ts'
import { counts } from '../status.ts'

/** A failed pod is replaced no sooner than this after it was made. */
const failedPodMs = 10_000

/** A daemon stays where others would be driven off, and comes to nodes that are not in order yet (daemon/util AddOrUpdateDaemonPodTolerations). */
function daemonTolerations({ hostNetwork }: PodSpec): Toleration[] {
  const exists = (key: string, effect: NonNullable<Toleration['effect']>): Toleration => ({ key: `node.kubernetes.io/${key}`, operator: 'Exists', effect })
  return [
    exists('not-ready', 'NoExecute'), exists('unreachable', 'NoExecute'), exists('disk-pressure', 'NoSchedule'), exists('memory-pressure', 'NoSchedule'),
    exists('pid-pressure', 'NoSchedule'), exists('unschedulable', 'NoSchedule'), ...(hostNetwork === true ? [exists('network-unavailable', 'NoSchedule')] : []),
  ]
}

/** The spec of a daemon's pod for one node; the scheduler then finds that only this node will do. */
export function daemonPodSpec(template: PodSpec, node: string): PodSpec {
  const terms = template.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [{}]
  const here = { key: 'metadata.name', operator: 'In' as const, values: [node] }
  return {
    ...template,
    tolerations: [...(template.tolerations ?? []), ...daemonTolerations(template)],
    affinity: {
      ...template.affinity,
      nodeAffinity: { ...template.affinity?.nodeAffinity, requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms.map((term) => ({ ...term, matchFields: [here] })) } },
    },
  }
}

/** The node that a daemon's pod is on or is meant for. */
export function targetNode({ spec }: Pod): string {
  if (spec.nodeName !== undefined && spec.nodeName !== '') return spec.nodeName
  const terms = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? []
  return terms.flatMap(({ matchFields = [] }) => matchFields).find(({ key, operator }) => key === 'metadata.name' && operator === 'In')?.values?.[0] ?? ''
}

/** Whether the node is to have the daemon, and whether one that is there may stay. */
function suitability({ spec }: DaemonSet, node: Node): { readonly runs: boolean; readonly stays: boolean } {
  const { spec: template } = spec.template
  const pod: Pod = { metadata: {}, spec: template }
  const here = (template.nodeName === undefined || template.nodeName === '' || template.nodeName === node.metadata.name) && matchesNode(pod, node)
  const tolerations = [...(template.tolerations ?? []), ...daemonTolerations(template)]
  return {
    runs: here && untolerated(node.spec.taints, tolerations, ['NoSchedule', 'NoExecute']).length === 0,
    stays: here && untolerated(node.spec.taints, tolerations, ['NoExecute']).length === 0,
  }
}

export interface Daemons {
  readonly set: DaemonSet
  readonly nodes: readonly Node[]
  /** All pods of the set. */
  readonly pods: readonly Pod[]
  /** Of the present template. */
  readonly hash: string
  /** In ms. */
  readonly now: number
}

export interface DaemonPlan {
  /** Names of nodes. */
  readonly create: readonly string[]
  readonly delete: readonly Pod[]
  readonly againAfterMs?: number
}

interface OnNode {
  readonly name: string
  readonly runs: boolean
  readonly stays: boolean
  readonly pods: readonly Pod[]
}

function perNode({ set, nodes, pods }: Daemons): OnNode[] {
  const byNode = new Map<string, Pod[]>()
  for (const pod of pods) byNode.set(targetNode(pod), [...(byNode.get(targetNode(pod)) ?? []), pod])
  return nodes.map((node) => ({ name: node.metadata.name ?? '', ...suitability(set, node), pods: byNode.get(node.metadata.name ?? '') ?? [] }))
}

export function planDaemons(daemons: Daemons): DaemonPlan {
  const { set, nodes, pods, now } = daemons
  const create: string[] = []
  const remove: Pod[] = []
  const waits: number[] = []
  const known = new Set(nodes.map(({ metadata }) => metadata.name))
  // Meant for a node that is gone, and never bound: nobody else will clean it up.
  remove.push(...pods.filter((pod) => (pod.spec.nodeName ?? '') === '' && !known.has(targetNode(pod)) && !isTerminating(pod)))
  for (const { name, runs, stays, pods: here } of perNode(daemons)) {
    const living = here.filter((pod) => !isTerminating(pod))
    if (!stays) {
      remove.push(...living)
      continue
    }
    if (!runs) continue
    // One that is still going must be gone first: a daemon is alone on its node.
    if (here.length === 0) create.push(name)
    const failed = living.filter(({ status }) => status?.phase === 'Failed' || status?.phase === 'Succeeded')
    for (const pod of failed) {
      const waitMs = Date.parse(pod.metadata.creationTimestamp ?? '') + failedPodMs - now
      if (waitMs > 0) waits.push(waitMs)
      else remove.push(pod)
    }
    remove.push(...surplus(living.filter((pod) => !failed.includes(pod)), daemons))
  }
  const update = set.spec.updateStrategy?.type === 'OnDelete' ? { create: [], delete: [] } : planUpdate(daemons)
  const again = waits.length === 0 ? {} : { againAfterMs: Math.min(...waits) }
  return { create: [...new Set([...create, ...update.create])], delete: [...new Set([...remove, ...update.delete])], ...again }
}

/** All but the oldest of each template: during an update with surge, an old and a new one may stand side by side. */
function surplus(pods: readonly Pod[], { hash, set }: Daemons): Pod[] {
  const ordered = [...pods].sort((a, b) => (a.metadata.creationTimestamp ?? '').localeCompare(b.metadata.creationTimestamp ?? '') || (a.metadata.name ?? '').localeCompare(b.metadata.name ?? ''))
  if (bounds(set, 0).surges) return [true, false].flatMap((isNew) => ordered.filter((pod) => (hashOf(pod) === hash) === isNew).slice(1))
  return ordered.slice(1)
}

function resolve(value: IntOrString, total: number): number {
  if (typeof value === 'number') return value
  return value.endsWith('%') ? Math.ceil((Number(value.slice(0, -1)) * total) / 100) : Number(value)
}

function bounds({ spec }: DaemonSet, desired: number): { readonly surge: number; readonly unavailable: number; readonly surges: boolean } {
  const { maxSurge = 0, maxUnavailable = 1 } = spec.updateStrategy?.rollingUpdate ?? {}
  const surges = maxSurge !== 0 && maxSurge !== '0' && maxSurge !== '0%'
  const surge = resolve(maxSurge, desired)
  const unavailable = resolve(maxUnavailable, desired)
  return { surge, unavailable: surge === 0 && unavailable === 0 ? 1 : unavailable, surges }
}

/** Replaces pods of old templates, a few nodes at a time (daemon/update.go rollingUpdate). */
function planUpdate(daemons: Daemons): DaemonPlan {
  const { set, hash, now } = daemons
  const isAvailable = (pod: Pod): boolean => availableInMs(pod, set.spec.minReadySeconds ?? 0, now) === 0
  const wanted = perNode(daemons).filter(({ runs }) => runs)
  const { surge, unavailable, surges } = bounds(set, wanted.length)
  const nodes = wanted.map(({ name, pods }) => {
    const living = pods.filter((pod) => !isTerminating(pod))
    return { name, fresh: living.find((pod) => hashOf(pod) === hash), old: living.find((pod) => hashOf(pod) !== hash) }
  })
  const outdated = nodes.filter(({ fresh, old }) => old !== undefined && fresh === undefined)
  const broken = outdated.filter(({ old }) => old !== undefined && !isAvailable(old))
  const working = outdated.filter((node) => !broken.includes(node))
  if (surges) {
    const surging = nodes.filter(({ fresh, old }) => old !== undefined && fresh !== undefined)
    const finished = surging.filter(({ fresh }) => fresh !== undefined && isAvailable(fresh)).flatMap(({ old }) => old ?? [])
    const room = Math.max(0, surge - surging.length)
    return { create: [...broken, ...working.slice(0, room)].map(({ name }) => name), delete: finished }
  }
  const down = nodes.filter(({ fresh, old }) => !(fresh !== undefined && isAvailable(fresh)) && !(old !== undefined && isAvailable(old))).length
  const spare = Math.max(0, unavailable - down)
  return { create: [], delete: [...broken, ...working.slice(0, spare)].flatMap(({ old }) => old ?? []) }
}

export function daemonSetStatus(daemons: Daemons): DaemonSetStatus {
  const { set, hash, now } = daemons
  const nodes = perNode(daemons)
  const wanted = nodes.filter(({ runs }) => runs)
  const oldest = (pods: readonly Pod[]): Pod | undefined => [...pods].sort((a, b) => (a.metadata.creationTimestamp ?? '').localeCompare(b.metadata.creationTimestamp ?? ''))[0]
  const available = wanted.filter(({ pods }) => pods.some((pod) => !isTerminating(pod) && availableInMs(pod, set.spec.minReadySeconds ?? 0, now) === 0)).length
  const updated = wanted.filter(({ pods }) => {
    const first = oldest(pods)
    return first !== undefined && hashOf(first) === hash
  }).length
  return {
    currentNumberScheduled: wanted.filter(({ pods }) => pods.length > 0).length,
    numberMisscheduled: nodes.filter(({ runs, pods }) => !runs && pods.length > 0).length,
    desiredNumberScheduled: wanted.length,
    numberReady: wanted.filter(({ pods }) => pods.some((pod) => !isTerminating(pod) && isReady(pod))).length,
    ...counts({ updatedNumberScheduled: updated, numberAvailable: available, numberUnavailable: wanted.length - available }),
    ...(set.metadata.generation === undefined ? {} : { observedGeneration: set.metadata.generation }),
    ...(set.status?.collisionCount === undefined ? {} : { collisionCount: set.status.collisionCount }),
  }
}
