/** `GET /stats/summary`: processor and memory of the node and of each container, as far as `kubectl top` style readers need them. */
import { readFileSync } from 'node:fs'
import type { Pod } from '../../api/types.ts'
import { memoryFigure } from '../node/machine.ts'
import { RuntimeNotFoundError } from '../runtime/runtime.ts'
import type { ContainerRuntime, RuntimeContainer } from '../runtime/runtime.ts'

export interface StatsOptions {
  readonly runtime: ContainerRuntime
  readonly nodeName: string
  readonly pods: readonly Pod[]
  readonly nowMs: number
}

/** Ticks of /proc/stat are hundredths of a second. */
const nanosecondsPerTick = 10_000_000

function nodeFigures(time: string): { cpu: object; memory: object } {
  const meminfo = readFileSync('/proc/meminfo', 'utf8')
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = (readFileSync('/proc/stat', 'utf8').split('\n')[0] ?? '').split(/\s+/).slice(1).map(Number)
  const available = memoryFigure(meminfo, 'MemAvailable')
  return {
    cpu: { time, usageCoreNanoSeconds: (user + nice + system + irq + softirq) * nanosecondsPerTick },
    memory: { time, availableBytes: available, workingSetBytes: memoryFigure(meminfo, 'MemTotal') - available },
  }
}

async function containerFigures(runtime: ContainerRuntime, { id, name }: RuntimeContainer, time: string): Promise<object[]> {
  try {
    const { cpuNanoseconds, memoryBytes, memoryWorkingSetBytes } = await runtime.containerUsage(id)
    return [{ name, cpu: { time, usageCoreNanoSeconds: cpuNanoseconds }, memory: { time, usageBytes: memoryBytes, workingSetBytes: memoryWorkingSetBytes } }]
  } catch (error) {
    if (error instanceof RuntimeNotFoundError) return []
    throw error
  }
}

export async function statsSummary({ runtime, nodeName, pods, nowMs }: StatsOptions): Promise<object> {
  const time = new Date(nowMs).toISOString()
  const running = (await runtime.listContainers()).filter(({ state }) => state === 'running')
  const ofPods = await Promise.all(pods.map(async ({ metadata: { name, namespace, uid } }) => {
    const containers = await Promise.all(running.filter(({ podUid }) => podUid === uid).map((container) => containerFigures(runtime, container, time)))
    return { podRef: { name, namespace, uid }, containers: containers.flat() }
  }))
  return { node: { nodeName, ...nodeFigures(time) }, pods: ofPods }
}
