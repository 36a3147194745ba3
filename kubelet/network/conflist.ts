/** Network configuration lists, as the CNI specification (1.1.0, section 1) defines them and container engines pick them. */
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

export type JsonObject = Record<string, unknown>

export interface PluginConfig extends JsonObject {
  readonly type: string
}

export interface NetworkConfig {
  readonly cniVersion: string
  readonly name: string
  readonly disableCheck: boolean
  readonly disableGC: boolean
  readonly plugins: readonly PluginConfig[]
}

const supportedVersions = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0']

/** Whether a configuration's version is at least the one that brought some verb. */
export function isAtLeast(version: string, least: string): boolean {
  return supportedVersions.indexOf(version) >= supportedVersions.indexOf(least)
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function chooseVersion(source: string, object: JsonObject): string {
  const listed = Array.isArray(object['cniVersions']) ? object['cniVersions'].map(String) : []
  const offered = [...listed, ...(typeof object['cniVersion'] === 'string' ? [object['cniVersion']] : [])]
  const best = supportedVersions.findLast((version) => offered.includes(version))
  if (best === undefined) throw new Error(`Cannot use ${source}: cniVersion ${offered.join(', ') || '(none)'} is not one of ${supportedVersions.join(', ')}`)
  return best
}

function parsePlugin(source: string, value: unknown): PluginConfig {
  const type = isObject(value) ? value['type'] : undefined
  if (!isObject(value) || typeof type !== 'string' || !/^[\w.-]+$/.test(type) || type.startsWith('.')) {
    throw new Error(`Cannot use ${source}: a plugin's type has to be the name of an executable`)
  }
  return { ...value, type }
}

/** Reads a list (`.conflist`) or a single plugin's configuration (`.conf`, `.json`), which becomes a list of one. */
export function parseNetworkConfig(source: string, text: string): NetworkConfig {
  let object: unknown
  try {
    object = JSON.parse(text)
  } catch (error) {
    throw new Error(`Cannot use ${source}: ${(error as Error).message}`, { cause: error })
  }
  if (!isObject(object)) throw new Error(`Cannot use ${source}: it is not a JSON object`)
  const name = object['name']
  if (typeof name !== 'string' || !/^[a-zA-Z0-9][\w.-]*$/.test(name)) throw new Error(`Cannot use ${source}: it has no usable name`)
  const plugins = Array.isArray(object['plugins']) ? object['plugins'] : 'type' in object ? [object] : []
  if (plugins.length === 0) throw new Error(`Cannot use ${source}: it names no plugins`)
  return {
    cniVersion: chooseVersion(source, object),
    name,
    disableCheck: String(object['disableCheck']) === 'true',
    disableGC: String(object['disableGC']) === 'true',
    plugins: plugins.map((plugin) => parsePlugin(source, plugin)),
  }
}

/** The first usable configuration of the directory in the order of file names. Throws what is wrong with the last unusable one, or that there is none. */
export function loadNetworkConfig(confDir: string): NetworkConfig {
  const names = readdirSync(confDir).filter((name) => /\.(conflist|conf|json)$/.test(name)).sort()
  let failure: unknown
  for (const name of names) {
    const file = join(confDir, name)
    try {
      return parseNetworkConfig(file, readFileSync(file, 'utf8'))
    } catch (error) {
      failure = error
    }
  }
  throw failure ?? new Error(`Cannot find a network configuration in ${confDir}: no .conflist, .conf or .json file is there`)
}
