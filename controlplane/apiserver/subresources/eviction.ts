// Eviction (`kubectl drain`): a deletion that a disruption budget may refuse for now.
import { matchesLabelSelector } from '../../../api/selectors.ts'
import type { LabelSelector } from '../../../api/types.ts'
import type { Entry } from '../cache/index.ts'
import type { DeleteOptions } from '../descriptor.ts'
import { jsonReply } from '../http.ts'
import type { Reply } from '../http.ts'
import { isRecord, timestamp } from '../object.ts'
import type { ApiObject } from '../object.ts'
import { readKind } from '../routes/body.ts'
import { writeOptions } from '../routes/call.ts'
import type { Call } from '../routes/call.ts'
import { internalError, StatusError } from '../status.ts'

const budgets = 'poddisruptionbudgets.policy'

const kind = { group: 'policy', version: 'v1', kind: 'Eviction' }

export async function evict(call: Call): Promise<Reply> {
  const { serving, request, info, descriptor } = call
  const eviction = await readKind(request, kind)
  const options = isRecord(eviction['deleteOptions']) ? (eviction['deleteOptions'] as DeleteOptions) : {}
  const { dryRun, ...deleteOptions } = options
  const asked = writeOptions(call)
  await serving.writer.admit({ operation: 'CREATE', descriptor, subresource: 'eviction', kind, namespace: info.namespace, name: info.name, object: eviction, old: undefined }, asked)
  const { origin: _settled, ...write } = asked
  const target = { descriptor, namespace: info.namespace, name: info.name }
  const pod = await serving.reader.current(descriptor, info.namespace, info.name)
  const wouldOnly = write.dryRun === true || dryRun?.includes('All') === true
  await spend(call, pod, wouldOnly)
  await serving.writer.delete(target, deleteOptions, { ...write, dryRun: wouldOnly })
  return jsonReply(201, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 })
}

/** Takes one disruption from the budget that covers a pod. Finished and pending pods cost nothing. */
async function spend(call: Call, { object: pod, name, namespace }: Entry, dryRun: boolean): Promise<void> {
  const { serving, user } = call
  const phase = isRecord(pod['status']) ? pod['status']['phase'] : undefined
  if (phase === 'Succeeded' || phase === 'Failed' || phase === 'Pending' || pod.metadata.deletionTimestamp !== undefined) return
  const covering = (serving.cache.named(budgets)?.list(namespace) ?? []).filter(({ object }) => isRecord(object['spec']) && matchesLabelSelector(object['spec']['selector'] as LabelSelector | undefined, pod.metadata.labels))
  if (covering.length > 1) throw internalError('This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.')
  const descriptor = serving.registry.named(budgets)
  const [budget] = covering
  if (budget === undefined || descriptor === undefined) return
  const make = (current: ApiObject): ApiObject => {
    const status = isRecord(current['status']) ? current['status'] : {}
    const allowed = Number(status['disruptionsAllowed'] ?? 0)
    if (allowed <= 0) {
      throw new StatusError(429, 'TooManyRequests', `Cannot evict pod as it would violate the pod's disruption budget.`, {
        causes: [{ reason: 'DisruptionBudget', message: `The disruption budget ${budget.name} needs ${String(status['desiredHealthy'] ?? 0)} healthy pods and has ${String(status['currentHealthy'] ?? 0)} currently` }],
        retryAfterSeconds: 10,
      })
    }
    const disrupted = isRecord(status['disruptedPods']) ? status['disruptedPods'] : {}
    return { ...current, status: { ...status, disruptionsAllowed: allowed - 1, disruptedPods: { ...disrupted, [name]: timestamp(serving.clock.now()) } } }
  }
  await serving.writer.update({ descriptor, namespace, name: budget.name }, { part: 'status', make }, { user, dryRun })
}
