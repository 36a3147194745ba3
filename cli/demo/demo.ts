/** The demonstration: a web site over all hosts, a client pod, and a table of who reached what, how, and how fast. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'
import { loadAll } from 'js-yaml'
import { isAlreadyExists } from '../../api/client.ts'
import type { Client } from '../../api/client.ts'
import { loadKubeconfig } from '../../api/kubeconfig.ts'
import type { ClusterConfig } from '../../api/kubeconfig.ts'
import { deployments, pods, services } from '../../api/resources.ts'
import type { Resource } from '../../api/resources.ts'
import type { KubeObject, Pod } from '../../api/types.ts'
import { hostAddress } from '../local/config.ts'
import type { ClusterConfigFile } from '../local/config.ts'
import { adminClient } from '../local/nodes-ready.ts'
import { clusterPaths } from '../local/paths.ts'
import { Progress } from '../local/progress.ts'
import { contextName } from '../local/user-kubeconfig.ts'
import { sentenceOf } from '../sentence.ts'
import { print, table } from '../terminal.ts'
import { execInPod } from './exec.ts'
import { pathsOf } from './paths.ts'
import type { Path, Scene } from './paths.ts'

const examples = fileURLToPath(new URL('../../examples/', import.meta.url))
const manifests = ['web.yaml', 'client.yaml']
const namespace = 'default'
const readyTimeoutMs = 120_000
/** A name or a rule may still be on its way when the pods are ready. */
const pathTimeoutMs = 15_000
/** Of so many runs the fastest counts. */
const runs = 3

interface Result {
  readonly path: Path
  readonly ms?: number
  readonly found: string
  readonly ok: boolean
}

export async function runDemo(config: ClusterConfigFile): Promise<void> {
  const { client, close } = adminClient(config.name)
  const access = loadKubeconfig(clusterPaths(config.name).kubeconfig)
  try {
    print(`\nThe demonstration: ${manifests.map((file) => `examples/${file}`).join(' and ')}`)
    const scene = await prepare(client, config)
    const results: Result[] = []
    for (const path of pathsOf(scene)) results.push(await tryPath(path, scene, access))
    print(`\n${table([['', 'FROM', 'TO', 'BY', 'ANSWER', 'LATENCY'], ...results.map(row)])}\n\n(latency: with the start of the program that asks, the fastest of ${runs})`)
    printNext(config)
    const failed = results.filter(({ ok }) => !ok)
    if (failed.length > 0) throw new Error(`Cannot show everything: ${failed.length} of ${results.length} ways did not work; the rows with ✗ say which`)
  } finally {
    close()
  }
}

async function prepare(client: Client, config: ClusterConfigFile): Promise<Scene> {
  using progress = new Progress(process.stdout, () => performance.now())
  await progress.step('manifests applied', async () => {
    for (const file of manifests) for (const object of loadAll(readFileSync(examples + file, 'utf8'))) await createOnce(client, object as KubeObject)
  })
  return progress.step('pods ready', () => readyScene(client, config))
}

const kinds: Readonly<Record<string, Resource<KubeObject>>> = { Deployment: deployments, Service: services, Pod: pods }

async function createOnce(client: Client, object: KubeObject): Promise<void> {
  const resource = kinds[object.kind ?? '']
  if (resource === undefined) throw new Error(`Cannot apply a ${object.kind ?? 'nameless'}: the demonstration knows ${Object.keys(kinds).join(', ')}`)
  try {
    await client.create(resource, { ...object, metadata: { ...object.metadata, namespace } })
  } catch (error) {
    if (!isAlreadyExists(error)) throw error
  }
}

async function readyScene(client: Client, config: ClusterConfigFile): Promise<Scene> {
  const startedMs = performance.now()
  for (;;) {
    const [list, deployment] = await Promise.all([client.list(pods, { namespace }), client.get(deployments, { namespace, name: 'web' })])
    const ready = list.items.filter(isReadyPod)
    const scene = await sceneOf(client, ready, deployment.spec.replicas ?? 1, config)
    if (scene !== undefined) return scene
    if (performance.now() - startedMs > readyTimeoutMs) throw new Error(`Cannot show the demonstration: its pods are not ready after ${readyTimeoutMs / 1000} s; 'kubectl describe pods' says why`)
    await sleep(50)
  }
}

async function sceneOf(client: Client, ready: readonly Pod[], replicas: number, config: ClusterConfigFile): Promise<Scene | undefined> {
  const clientPod = ready.find(({ metadata }) => metadata.name === 'client')
  const web = ready.filter(({ metadata }) => metadata.labels?.['app'] === 'web')
  if (clientPod === undefined || web.length < replicas) return undefined
  const [service, nodePort] = await Promise.all([client.get(services, { namespace, name: 'web' }), client.get(services, { namespace, name: 'web-nodeport' })])
  const there = web.find(({ spec }) => spec.nodeName !== clientPod.spec.nodeName) ?? web[0]
  if (there === undefined) return undefined
  return {
    client: place(clientPod), web: place(there), webNames: web.map(({ metadata }) => metadata.name ?? ''),
    clusterIP: service.spec.clusterIP ?? '', nodePort: nodePort.spec.ports?.[0]?.nodePort ?? 0,
    nodeAddresses: config.nodes.map((node) => hostAddress(config, node)),
  }
}

function place({ metadata, spec, status }: Pod): Scene['web'] {
  return { name: metadata.name ?? '', ip: status?.podIP ?? '', node: spec.nodeName ?? '' }
}

function isReadyPod({ metadata, status }: Pod): boolean {
  return metadata.deletionTimestamp === undefined && status?.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True') === true
}

/** Repeats a way until it works, then times it. */
async function tryPath(path: Path, scene: Scene, access: ClusterConfig): Promise<Result> {
  const startedMs = performance.now()
  for (;;) {
    let found: string
    try {
      const { output, ms } = await runPath(path, scene, access)
      if (path.isRight(output)) return { path, ms, found: path.found?.(output) ?? output.trim().split('\n')[0] ?? '', ok: true }
      found = output.trim().split('\n').at(-1) ?? ''
    } catch (error) {
      found = sentenceOf(error)
    }
    if (performance.now() - startedMs > pathTimeoutMs) return { path, found: found === '' ? 'no answer' : found.slice(0, 80), ok: false }
    await sleep(100)
  }
}

async function runPath({ run }: Path, scene: Scene, access: ClusterConfig): Promise<{ output: string; ms: number }> {
  if ('url' in run) {
    const times: number[] = []
    let output = ''
    for (let turn = 0; turn < runs; turn += 1) {
      const startedMs = performance.now()
      output = await (await fetch(run.url, { signal: AbortSignal.timeout(2000), headers: { connection: 'close' } })).text()
      times.push(performance.now() - startedMs)
    }
    return { output, ms: Math.min(...times) }
  }
  // The clock is read inside the pod; its `ts` knows parts of a second.
  const timed = `now() { echo | ts %.s; }; for turn in $(seq ${runs}); do begun=$(now); output=$(${run.script} 2>&1); echo "$begun $(now)"; done; echo "$output"`
  const target = run.container === 'client' ? scene.client : scene.web
  const { stdout, stderr } = await execInPod(access, { pod: target.name, container: run.container }, ['sh', '-c', timed])
  const lines = stdout.split('\n')
  const times = lines.slice(0, runs).map((line) => line.trim().split(/\s+/).map(Number)).map(([begun = 0, ended = 0]) => (ended - begun) * 1000)
  if (times.length < runs || times.some(Number.isNaN)) throw new Error(stderr.trim() === '' ? stdout.trim() : stderr.trim())
  return { output: lines.slice(runs).join('\n'), ms: Math.min(...times) }
}

function row({ path, ms, found, ok }: Result): string[] {
  return [ok ? '✓' : '✗', path.from, path.to, path.by, found, ms === undefined ? '' : `${ms.toFixed(1)} ms`]
}

function printNext(config: ClusterConfigFile): void {
  const name = config.name === 'dev' ? '' : ` --name ${config.name}`
  print(`
Go on with

  kubectl --context ${contextName(config.name)} get pods -o wide        (or: fairway kubectl${name} get pods -o wide)
  kubectl --context ${contextName(config.name)} exec -it client -- sh
  kubectl --context ${contextName(config.name)} scale deployment/web --replicas=5
  fairway status${name}
  fairway node stop${name} node-2        watch its pods being replaced; 'node start' brings it back
  fairway down${name}                    leaves nothing behind
`)
}
