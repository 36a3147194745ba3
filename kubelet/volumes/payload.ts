/** The files of config map, secret, downward API and projected volumes. Pure but for the token that it is handed. */
import type { ConfigMap, DownwardAPIFile, KeyToPath, Pod, Secret, Volume } from '../../api/types.ts'
import { fieldValue, resourceValue } from '../pods/environment.ts'

export interface PayloadFile {
  readonly data: Buffer
  readonly mode: number
}

/** Files by their path in the volume. */
export type Payload = ReadonlyMap<string, PayloadFile>

export interface TokenRequest {
  readonly audience?: string
  readonly expirationSeconds: number
}

export interface PayloadSources {
  readonly pod: Pod
  readonly nodeName: string
  readonly hostIPs: readonly string[]
  readonly podIPs: readonly string[]
  readonly allocatable: Readonly<Record<string, string>>
  readonly configMap: (name: string) => ConfigMap | undefined
  readonly secret: (name: string) => Secret | undefined
  readonly token: (request: TokenRequest) => Promise<string>
}

const defaultFileMode = 0o644

/** A path that stays in its volume: relative, without `..`, and not beginning with the two dots that the atomic writer uses. */
export function checkPath(path: string): string {
  const parts = path.split('/')
  if (path === '' || path.startsWith('/') || parts.includes('..') || path.startsWith('..') || path.includes('\0')) {
    throw new Error(`path ${JSON.stringify(path)} does not stay inside the volume`)
  }
  return parts.filter((part) => part !== '' && part !== '.').join('/')
}

interface Selection {
  readonly what: string
  readonly items?: readonly KeyToPath[] | undefined
  readonly optional?: boolean | undefined
  readonly mode: number
}

/** Files from a map: all of its keys, or the chosen ones under their paths. */
function select(data: ReadonlyMap<string, Buffer>, { what, items, optional, mode }: Selection): Array<[string, PayloadFile]> {
  if (items === undefined || items.length === 0) return [...data].map(([key, bytes]) => [checkPath(key), { data: bytes, mode }])
  return items.flatMap((item): Array<[string, PayloadFile]> => {
    const bytes = data.get(item.key)
    if (bytes !== undefined) return [[checkPath(item.path), { data: bytes, mode: item.mode ?? mode }]]
    if (optional === true) return []
    throw new Error(`${what} has no key ${item.key}`)
  })
}

function configMapFiles(sources: PayloadSources, name: string, selection: Omit<Selection, 'what'>): Array<[string, PayloadFile]> {
  const object = sources.configMap(name)
  const what = `configmap "${name}"`
  if (object === undefined && selection.optional !== true) throw new Error(`${what} not found`)
  const data = new Map<string, Buffer>()
  for (const [key, value] of Object.entries(object?.data ?? {})) data.set(key, Buffer.from(value))
  for (const [key, value] of Object.entries(object?.binaryData ?? {})) data.set(key, Buffer.from(value, 'base64'))
  return object === undefined ? [] : select(data, { ...selection, what })
}

function secretFiles(sources: PayloadSources, name: string, selection: Omit<Selection, 'what'>): Array<[string, PayloadFile]> {
  const object = sources.secret(name)
  const what = `secret "${name}"`
  if (object === undefined && selection.optional !== true) throw new Error(`${what} not found`)
  const data = new Map(Object.entries(object?.data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64')]))
  return object === undefined ? [] : select(data, { ...selection, what })
}

function downwardFiles(sources: PayloadSources, items: readonly DownwardAPIFile[], mode: number): Array<[string, PayloadFile]> {
  return items.map((item) => {
    const { fieldRef, resourceFieldRef } = item
    const container = sources.pod.spec.containers.find(({ name }) => name === resourceFieldRef?.containerName)
    const text = fieldRef !== undefined ? fieldValue(fieldRef.fieldPath, sources)
      : resourceFieldRef !== undefined ? resourceValue(resourceFieldRef, container, sources.allocatable) : ''
    return [checkPath(item.path), { data: Buffer.from(text), mode: item.mode ?? mode }]
  })
}

async function projectedFiles(sources: PayloadSources, projected: NonNullable<Volume['projected']>): Promise<Array<[string, PayloadFile]>> {
  const mode = projected.defaultMode ?? defaultFileMode
  const files: Array<[string, PayloadFile]> = []
  for (const source of projected.sources ?? []) {
    const { configMap, secret, downwardAPI, serviceAccountToken } = source
    if (configMap !== undefined) files.push(...configMapFiles(sources, configMap.name ?? '', { items: configMap.items, optional: configMap.optional, mode }))
    else if (secret !== undefined) files.push(...secretFiles(sources, secret.name ?? '', { items: secret.items, optional: secret.optional, mode }))
    else if (downwardAPI !== undefined) files.push(...downwardFiles(sources, downwardAPI.items ?? [], mode))
    else if (serviceAccountToken !== undefined) {
      const { audience, expirationSeconds = 3600, path } = serviceAccountToken
      const token = await sources.token({ expirationSeconds, ...(audience === undefined ? {} : { audience }) })
      files.push([checkPath(path), { data: Buffer.from(token), mode }])
    } else throw new Error(`a projected source of kind ${Object.keys(source).join(', ')} is not supported`)
  }
  return files
}

/** The wanted files of a volume; undefined for volumes of other kinds. */
export async function payloadOf(volume: Volume, sources: PayloadSources): Promise<Payload | undefined> {
  const { configMap, secret, downwardAPI, projected } = volume
  if (configMap !== undefined) {
    const { items, optional, defaultMode: mode = defaultFileMode } = configMap
    return new Map(configMapFiles(sources, configMap.name ?? '', { items, optional, mode }))
  }
  if (secret !== undefined) {
    const { items, optional, defaultMode: mode = defaultFileMode } = secret
    return new Map(secretFiles(sources, secret.secretName ?? '', { items, optional, mode }))
  }
  if (downwardAPI !== undefined) return new Map(downwardFiles(sources, downwardAPI.items ?? [], downwardAPI.defaultMode ?? defaultFileMode))
  if (projected !== undefined) return new Map(await projectedFiles(sources, projected))
  return undefined
}
