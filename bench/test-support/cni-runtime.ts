/**
 * A container runtime as far as `bench/cni.ts` needs one: in the host's namespace, `node cni-runtime.ts JOB`, runs chains of plugins and says on standard
 * output how long each ADD and DEL took, in milliseconds.
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { Plugins } from '../../cni/plugins.ts'

export interface Job {
  /** `executable`: as a runtime does; `agent`: within this process, as the resident part does. */
  readonly by: 'executable' | 'agent'
  readonly path: readonly string[]
  readonly plugins: readonly Readonly<Record<string, unknown>>[]
  /** Of each pod its namespace, its id and what each plugin's runtimeConfig is to be. */
  readonly pods: readonly { readonly id: string; readonly netns: string; readonly runtimeConfig: Readonly<Record<string, unknown>> }[]
  /** Whether what was added is deleted again; else the pods stay. */
  readonly deletes: boolean
}

export interface Timings {
  readonly add: readonly number[]
  readonly del: readonly number[]
}

type Pod = Job['pods'][number]

const job = JSON.parse(process.argv[2] ?? '') as Job
const resident = new Plugins()

async function run(command: string, plugin: Readonly<Record<string, unknown>>, pod: Pod, prevResult: unknown): Promise<unknown> {
  const environment = { CNI_COMMAND: command, CNI_CONTAINERID: pod.id, CNI_NETNS: pod.netns, CNI_IFNAME: 'eth0', CNI_PATH: job.path.join(':') }
  const input = JSON.stringify({ cniVersion: '1.0.0', name: 'bench', ...plugin, runtimeConfig: pod.runtimeConfig, ...(prevResult === undefined ? {} : { prevResult }) })
  const { status, output } = job.by === 'agent' ? await resident.run(String(plugin['type']), { environment, input }) : execute(String(plugin['type']), environment, input)
  if (status !== 0) throw new Error(`Cannot ${command} by ${String(plugin['type'])}: ${output}`)
  return output === '' ? undefined : JSON.parse(output)
}

function execute(type: string, environment: Readonly<Record<string, string>>, input: string): { status: number | null; output: string } {
  const file = join(job.path[type === 'fairway' ? 0 : 1] ?? '', type)
  const { status, stdout, stderr } = spawnSync(file, { input, env: { PATH: process.env['PATH'], ...environment }, encoding: 'utf8' })
  return { status, output: stdout + stderr }
}

const timings: { add: number[]; del: number[] } = { add: [], del: [] }
for (const pod of job.pods) {
  const began = performance.now()
  let result: unknown
  for (const plugin of job.plugins) result = await run('ADD', plugin, pod, result)
  const added = performance.now()
  timings.add.push(added - began)
  if (!job.deletes) continue
  for (const plugin of job.plugins.toReversed()) await run('DEL', plugin, pod, result)
  timings.del.push(performance.now() - added)
}
process.stdout.write(JSON.stringify(timings))
