/** Kubeconfig files (client-go clientcmd api/v1): where a cluster is and who we are to it. */
import { readFileSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { dump, load } from 'js-yaml'

/** How to reach one cluster as one user; certificates and keys are PEM. */
export interface ClusterConfig {
  readonly server: string
  readonly ca?: string
  readonly clientCert?: string
  readonly clientKey?: string
  /** A token, or a function that reads the newest. */
  readonly token?: string | (() => string)
  readonly tlsServerName?: string
  readonly insecureSkipTlsVerify?: boolean
  readonly namespace?: string
}

type Json = Readonly<Record<string, unknown>>
const fileBytesMax = 4 * 1024 * 1024

/** Reads the named context of a kubeconfig file, or its current one. Throws an error that names the file and what is wrong with it. */
export function loadKubeconfig(file: string, context?: string): ClusterConfig {
  try {
    if (statSync(file).size > fileBytesMax) throw new Error(`it is larger than ${fileBytesMax} bytes`)
    return parseKubeconfig(readFileSync(file, 'utf8'), { directory: dirname(resolve(file)), ...(context === undefined ? {} : { context }) })
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'the file does not exist' : (error as Error).message
    throw new Error(`Cannot use kubeconfig ${file}: ${reason}`, { cause: error })
  }
}

/** Reads kubeconfig text; relative file names in it are relative to `directory`. */
export function parseKubeconfig(text: string, { directory, context }: { readonly directory: string; readonly context?: string }): ClusterConfig {
  const root = record(load(text), 'it is not a YAML mapping')
  const contextName = context ?? string(root, 'current-context') ?? ''
  if (contextName === '') throw new Error('it has no current-context, and no context was asked for')
  const chosen = entry(root, 'contexts', contextName, 'context')
  const cluster = entry(root, 'clusters', string(chosen, 'cluster') ?? '', 'cluster')
  const userName = string(chosen, 'user')
  const user = userName === undefined ? {} : entry(root, 'users', userName, 'user')
  const server = string(cluster, 'server')
  if (server === undefined || !URL.canParse(server)) throw new Error(`cluster "${string(chosen, 'cluster')}" has no usable server address`)
  if (new URL(server).protocol !== 'https:') throw new Error(`server ${server} is not https`)
  if ('exec' in user || 'auth-provider' in user) throw new Error(`user "${userName}" needs a credential plugin, which is not supported: use a client certificate or a token`)
  return compact({
    server,
    ca: data(cluster, 'certificate-authority', directory),
    clientCert: data(user, 'client-certificate', directory),
    clientKey: data(user, 'client-key', directory),
    token: tokenOf(user, directory),
    tlsServerName: string(cluster, 'tls-server-name'),
    insecureSkipTlsVerify: cluster['insecure-skip-tls-verify'] === true ? true : undefined,
    namespace: string(chosen, 'namespace'),
  })
}

/** A kubeconfig of one cluster, one user and one context, all of the name given. */
export function renderKubeconfig({ clusterName, user = clusterName, config }: { readonly clusterName: string; readonly user?: string; readonly config: ClusterConfig }): string {
  return dump(kubeconfigObject({ clusterName, user, config }))
}

/** The same as an object, for merging into a file that has others. */
export function kubeconfigObject({ clusterName, user, config }: { readonly clusterName: string; readonly user: string; readonly config: ClusterConfig }): Record<string, unknown> {
  const token = typeof config.token === 'function' ? config.token() : config.token
  const encoded = (text: string | undefined): string | undefined => (text === undefined ? undefined : Buffer.from(text).toString('base64'))
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: clusterName, cluster: compact({ server: config.server, 'certificate-authority-data': encoded(config.ca), 'tls-server-name': config.tlsServerName }) }],
    users: [{ name: user, user: compact({ 'client-certificate-data': encoded(config.clientCert), 'client-key-data': encoded(config.clientKey), token }) }],
    contexts: [{ name: clusterName, context: compact({ cluster: clusterName, user, namespace: config.namespace }) }],
    'current-context': clusterName,
    preferences: {},
  }
}

function record(value: unknown, complaint: string): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error(complaint)
  return value as Json
}

function string(object: Json, key: string): string | undefined {
  const value = object[key]
  return typeof value === 'string' && value !== '' ? value : undefined
}

function entry(root: Json, list: string, name: string, kind: string): Json {
  const entries = Array.isArray(root[list]) ? (root[list] as unknown[]) : []
  const found = entries.find((one) => typeof one === 'object' && one !== null && (one as Json)['name'] === name)
  if (found === undefined) throw new Error(`it has no ${kind} "${name}"`)
  return record((found as Json)[kind] ?? {}, `its ${kind} "${name}" is not a mapping`)
}

/** `key-data` (base64) or the file that `key` names. */
function data(object: Json, key: string, directory: string): string | undefined {
  const inline = string(object, `${key}-data`)
  if (inline !== undefined) return Buffer.from(inline, 'base64').toString()
  const file = string(object, key)
  return file === undefined ? undefined : readFileSync(resolve(directory, file), 'utf8')
}

/** A token, or a reader of the token file, which is rotated under us. */
function tokenOf(user: Json, directory: string): string | (() => string) | undefined {
  const file = string(user, 'tokenFile')
  return file === undefined ? string(user, 'token') : () => readFileSync(resolve(directory, file), 'utf8').trim()
}

function compact<T extends object>(object: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as { [K in keyof T]: Exclude<T[K], undefined> }
}
