/**
 * The user's own kubeconfig: `up` merges a context into it and makes that the current one, `down` takes it out again. Everything else in the file
 * stays. Writers take the same lock as client-go does (`FILE.lock`), and the file is replaced whole.
 */
import { chmodSync, closeSync, existsSync, mkdirSync, openSync, readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { dump, load } from 'js-yaml'

type Named = { readonly name: string }
type Mapping = Record<string, unknown>

const lists = ['clusters', 'users', 'contexts'] as const
/** A lock older than this belongs to nobody: its holder was killed. */
const staleLockMs = 10_000

/** The file that kubectl writes to: the first that KUBECONFIG names, else ~/.kube/config. */
export function userKubeconfigFile(environment: NodeJS.ProcessEnv = process.env): string {
  const named = (environment['KUBECONFIG'] ?? '').split(delimiter).find((path) => path !== '')
  // Kept for `down`, which may run in another folder.
  return resolve(named ?? join(environment['HOME'] ?? homedir(), '.kube', 'config'))
}

export function contextName(cluster: string): string {
  return `fairway-${cluster}`
}

/** Adds or replaces the entries of another kubeconfig, and makes its context the current one. */
function mergeKubeconfig(present: Mapping, added: Mapping): Mapping {
  const merged: Mapping = { apiVersion: 'v1', kind: 'Config', preferences: {}, ...present, 'current-context': added['current-context'] }
  for (const list of lists) {
    const names = new Set(entries(added, list).map(({ name }) => name))
    merged[list] = [...entries(present, list).filter(({ name }) => !names.has(name)), ...entries(added, list)]
  }
  return merged
}

/** Removes a context with its cluster and user; the current context becomes none when it was that one. */
function removeContext(present: Mapping, context: string): Mapping {
  const rest: Mapping = { ...present }
  for (const list of lists) if (list in rest) rest[list] = entries(present, list).filter(({ name }) => name !== context)
  if (rest['current-context'] === context) rest['current-context'] = ''
  return rest
}

function entries(config: Mapping, list: string): Named[] {
  const value = config[list]
  return Array.isArray(value) ? (value as Named[]) : []
}

/** Writes a cluster's context into the user's file. */
export async function addUserContext(kubeconfig: string, file: string = userKubeconfigFile()): Promise<void> {
  await change(file, (present) => mergeKubeconfig(present, load(kubeconfig) as Mapping))
}

/** Takes a cluster's context out of the user's file; one that `up` alone had filled goes. */
export async function removeUserContext(cluster: string, file: string = userKubeconfigFile()): Promise<void> {
  if (!existsSync(file)) return
  const context = contextName(cluster)
  await change(file, (present) => (lists.some((list) => entries(present, list).some(({ name }) => name === context)) ? removeContext(present, context) : present))
}

async function change(named: string, edit: (present: Mapping) => Mapping): Promise<void> {
  mkdirSync(dirname(named), { recursive: true, mode: 0o700 })
  // A link is followed, so that it stays one.
  const file = existsSync(named) ? realpathSync(named) : named
  const unlock = await lockFile(`${file}.lock`)
  try {
    const present = read(file)
    const edited = edit(present)
    if (edited === present) return
    if (isEmpty(edited)) return rmSync(file)
    const partial = `${file}.${process.pid}`
    writeFileSync(partial, dump(edited), { mode: 0o600 })
    if (existsSync(file)) chmodSync(partial, statSync(file).mode & 0o777)
    renameSync(partial, file)
  } finally {
    unlock()
  }
}

/** Nothing is left that anybody but `up` wrote. */
function isEmpty(config: Mapping): boolean {
  return lists.every((list) => entries(config, list).length === 0) && Object.keys(config).every((key) => ['apiVersion', 'kind', 'preferences', 'current-context', ...lists].includes(key))
}

function read(file: string): Mapping {
  const text = existsSync(file) ? readFileSync(file, 'utf8') : ''
  if (text.trim() === '') return {}
  let present: unknown
  try {
    present = load(text)
  } catch (error) {
    throw new Error(`Cannot change kubeconfig ${file}: ${(error as Error).message.split('\n')[0]}`, { cause: error })
  }
  if (present === undefined || present === null) return {}
  if (typeof present !== 'object' || Array.isArray(present)) throw new Error(`Cannot change kubeconfig ${file}: it is not a YAML mapping`)
  return present as Mapping
}

async function lockFile(lock: string): Promise<() => void> {
  for (;;) {
    try {
      closeSync(openSync(lock, 'wx', 0o600))
      return () => rmSync(lock, { force: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw new Error(`Cannot lock kubeconfig with ${lock}: ${(error as Error).message}`, { cause: error })
      const ageMs = Date.now() - (statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now())
      if (ageMs > staleLockMs) rmSync(lock, { force: true })
      else await sleep(20)
    }
  }
}
