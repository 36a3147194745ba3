/** The container engine of a local host, reached through its socket as that host sees it. */
import { existsSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Readable } from 'node:stream'
import Docker from 'dockerode'
import { builtInTags } from '../images/built-in.ts'
import type { BuiltInImage } from '../images/built-in.ts'
import type { ClusterConfigFile } from './config.ts'
import { clusterPaths } from './paths.ts'
import { hostProcesses } from './processes.ts'

/** So many ends of the engine in a row are no accident. */
const endsMax = 3
const startTimeoutMs = 60_000

/** The engine of the host whose first process is `pid`. */
export function engineOf(pid: number): Docker {
  return new Docker({ socketPath: `/proc/${pid}/root/run/docker.sock` })
}

/** Resolves when the engine answers. Rejects with the engine's own last words when it ends again and again. */
export async function engineReady(config: ClusterConfigFile, { host, pid, signal }: { readonly host: string; readonly pid: number; readonly signal: AbortSignal }): Promise<Docker> {
  const engine = engineOf(pid)
  await waitForProgram(config.name, { host, program: 'engine', what: `the container engine of ${host}`, signal }, () => existsSync(`/proc/${pid}/root/run/docker.sock`) && answers(engine))
  return engine
}

/** Repeats a check until it is true. Rejects with the last words of a program of the host when that ends again and again meanwhile. */
export async function waitForProgram(
  cluster: string,
  { host, program, what, signal }: { readonly host: string; readonly program: string; readonly what: string; readonly signal: AbortSignal },
  isReady: () => boolean | Promise<boolean>,
): Promise<void> {
  const { logs, initLog } = clusterPaths(cluster).host(host)
  const endsBefore = endsOf(program, initLog)
  const startedMs = performance.now()
  for (let attempt = 1; performance.now() - startedMs < startTimeoutMs; attempt += 1) {
    signal.throwIfAborted()
    if (await isReady()) return
    // Looking through all processes is dear.
    if (attempt % 20 === 0 && !hostProcesses(cluster).some((one) => one.host === host)) throw new Error(`Cannot start ${what}: host ${host} ended${lastWords(initLog)}`)
    if (endsOf(program, initLog) - endsBefore >= endsMax) throw new Error(`Cannot start ${what}: its program ends at once${lastWords(`${logs}/${program}.log`)}`)
    await sleep(25, undefined, { signal })
  }
  throw new Error(`Cannot start ${what}: not ready within ${startTimeoutMs / 1000} s${lastWords(`${logs}/${program}.log`)}`)
}

async function answers(engine: Docker): Promise<boolean> {
  try {
    await engine.ping()
    return true
  } catch {
    return false // not yet: the caller asks again, up to its bound
  }
}

function endsOf(program: string, initLog: string): number {
  return readIfThere(initLog).split('\n').filter((line) => line.includes(` ${program} ended with status `)).length
}

/** `: the last line of a log`, when it has any. */
function lastWords(file: string): string {
  const line = readIfThere(file).trim().split('\n').at(-1)?.trim() ?? ''
  return line === '' ? '' : `: ${line.slice(0, 500)}`
}

function readIfThere(file: string): string {
  return existsSync(file) ? readFileSync(file, 'utf8') : ''
}

/** Loads the built-in image, unless the engine has that very one under both names. */
export async function loadBuiltIn(engine: Docker, image: BuiltInImage): Promise<void> {
  const present = await Promise.all(builtInTags.map(async (tag) => (await engine.getImage(tag).inspect().catch(absent))?.Id))
  if (present.every((id) => id === image.id)) return
  await loadArchive(engine, image.archive)
}

function absent(error: { readonly statusCode?: number }): undefined {
  if (error.statusCode !== 404) throw error
}

/** Loads what `docker save` wrote; resolves to the names that the engine says it loaded. */
export async function loadArchive(engine: Docker, archive: Buffer | NodeJS.ReadableStream): Promise<string[]> {
  return imageNames(await engine.loadImage(archive as NodeJS.ReadableStream, { quiet: true }))
}

/** Makes an image of one layer from the tar archive of a root file system. */
export async function importRootfs(engine: Docker, rootfs: NodeJS.ReadableStream, name: string): Promise<void> {
  const [repo, tag = 'latest'] = splitReference(name)
  await imageNames(await engine.importImage(rootfs, { repo, tag }))
}

/** `mine:1` and `host:5000/mine:1` at the colon of the tag. */
function splitReference(name: string): [string, string?] {
  const colon = name.lastIndexOf(':')
  return colon > name.lastIndexOf('/') ? [name.slice(0, colon), name.slice(colon + 1)] : [name]
}

/** Reads the engine's stream of JSON lines to its end; an error in it is thrown. */
async function imageNames(stream: NodeJS.ReadableStream): Promise<string[]> {
  let text = ''
  for await (const part of stream as Readable) text += String(part)
  const messages = text.split('\n').filter((line) => line.trim() !== '').map((line) => JSON.parse(line) as { readonly stream?: string; readonly error?: string })
  const failure = messages.find(({ error }) => error !== undefined)
  if (failure !== undefined) throw new Error(failure.error)
  return messages.flatMap(({ stream = '' }) => /^Loaded image(?: ID)?: (\S+)/.exec(stream)?.[1] ?? [])
}
