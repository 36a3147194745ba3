// The condition of a FlowSchema: whether the priority level that it names is there (k8s.io/apiserver/pkg/util/flowcontrol).
import type { Clock, Random } from '../../../api/clock.ts'
import type { Logger } from '../../../api/log.ts'
import { WorkQueue } from '../../../api/work-queue.ts'
import { isStoreError } from '../../store/index.ts'
import type { WatchCache } from '../cache/index.ts'
import { isRecord, timestamp, valueAt } from '../object.ts'
import type { ApiObject } from '../object.ts'
import type { Registry } from '../registry.ts'
import { StatusError } from '../status.ts'
import type { Writer } from '../write/writer.ts'
import { serverUser } from './objects.ts'

interface FlowSchemasOptions {
  readonly cache: WatchCache
  readonly registry: Registry
  readonly writer: Writer
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}

const schemaResource = 'flowschemas.flowcontrol.apiserver.k8s.io'
const levelResource = 'prioritylevelconfigurations.flowcontrol.apiserver.k8s.io'

/** Keeps the conditions up. Returns what stops it. */
export function startFlowSchemas(options: FlowSchemasOptions): () => void {
  const { cache, clock, random, log } = options
  const queue = new WorkQueue<string>({
    clock, random,
    reconcile: (name) => reconcile(options, name),
    onError: (error, name) => {
      if (!isStoreError(error, 'closed')) log.warn('the condition of a flow schema could not be noted', { name, error })
    },
  })
  const schemas = cache.named(schemaResource)
  const all = (): void => {
    for (const { name } of schemas?.list() ?? []) queue.add(name)
  }
  const release = [schemas?.listen(({ entry }) => queue.add(entry.name)), cache.named(levelResource)?.listen(all)]
  all()
  return () => {
    for (const one of release) one?.()
    void queue.stop()
  }
}

async function reconcile({ cache, registry, writer, clock }: FlowSchemasOptions, name: string): Promise<void> {
  const descriptor = registry.named(schemaResource)
  const object = cache.named(schemaResource)?.get('', name)?.object
  if (descriptor === undefined || object === undefined) return
  const level = String(valueAt(object, '.spec.priorityLevelConfiguration.name') ?? '')
  const isThere = cache.named(levelResource)?.get('', level) !== undefined
  const about = `This FlowSchema references the PriorityLevelConfiguration object named ${JSON.stringify(level)}`
  const condition = isThere ? { type: 'Dangling', status: 'False', reason: 'Found', message: `${about} and it exists` } : { type: 'Dangling', status: 'True', reason: 'NotFound', message: `${about} but there is no such object` }
  const conditions = valueAt(object, '.status.conditions')
  const [others, present] = Array.isArray(conditions) ? [conditions.filter((one) => isRecord(one) && one['type'] !== 'Dangling'), conditions.filter(isRecord).find(({ type }) => type === 'Dangling')] : [[], undefined]
  if (present?.['status'] === condition.status && present['message'] === condition.message) return
  const make = (current: ApiObject): ApiObject => ({ ...current, status: { conditions: [...others, { ...condition, lastTransitionTime: timestamp(clock.now()) }] } })
  try {
    await writer.update({ descriptor, namespace: '', name }, { part: 'status', make }, { user: serverUser })
  } catch (error) {
    // Gone, or noted by another server in the same moment.
    if (!(error instanceof StatusError && (error.code === 404 || error.code === 409))) throw error
  }
}
