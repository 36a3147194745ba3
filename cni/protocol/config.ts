/** The configuration on standard input (CNI specification 1.1.0, sections 1 and 3), as far as both plugins share it. */
import { CniError } from './error.ts'
import { isContainerId, isInterfaceName } from './environment.ts'
import type { AttachmentId, Environment } from './environment.ts'
import { decodeResult } from './result.ts'
import type { JsonObject, Result } from './result.ts'
import { parseVersion } from './version.ts'
import type { CniVersion } from './version.ts'

export interface PluginConfig {
  readonly cniVersion: CniVersion
  /** The network's name: it becomes part of a path. */
  readonly name: string
  readonly ipam: JsonObject | undefined
  readonly runtimeConfig: JsonObject
  readonly prevResult: Result | undefined
  /** GC: what stays. */
  readonly validAttachments: readonly AttachmentId[] | undefined
  /** All of it as it was given. */
  readonly fields: JsonObject
  /** The call's parameters, for a plugin that is called on. */
  readonly environment: Environment
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Reads the JSON and no more: what VERSION needs, and any error's version. */
export function parseInput(input: string): JsonObject {
  let value: unknown
  try {
    value = JSON.parse(input)
  } catch (error) {
    throw new CniError('undecodable', `Cannot read configuration: ${(error as Error).message}`)
  }
  if (!isObject(value)) throw new CniError('undecodable', 'Cannot read configuration: it is not a JSON object')
  return value
}

export function invalidConfig(problem: string): CniError {
  return new CniError('invalidConfig', `Cannot use configuration: ${problem}`)
}

/**
 * A field of what a runtime passes on for a capability. Runtimes written in Go may spell it as their own structures do (containerd: `HostPort`), for Go
 * reads names without regard to case.
 */
export function looseField(fields: JsonObject, name: string): unknown {
  if (name in fields) return fields[name]
  const other = Object.keys(fields).find((key) => key.toLowerCase() === name.toLowerCase())
  return other === undefined ? undefined : fields[other]
}

/** An object field that may be missing or null. */
export function objectField(fields: JsonObject, name: string): JsonObject | undefined {
  const value = fields[name] ?? undefined
  if (value !== undefined && !isObject(value)) throw invalidConfig(`${name} is not an object`)
  return value
}

export function parseConfig(fields: JsonObject, environment: Environment = {}): PluginConfig {
  const cniVersion = parseVersion(fields['cniVersion'])
  const { name } = fields
  if (typeof name !== 'string' || name === '') throw invalidConfig('name is missing')
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name) || name.length > 200) throw invalidConfig(`name ${JSON.stringify(name)} is not letters, digits, '_', '.' and '-', with a letter or digit first`)
  const previous = fields['prevResult'] ?? undefined
  return {
    cniVersion,
    name,
    ipam: objectField(fields, 'ipam'),
    runtimeConfig: objectField(fields, 'runtimeConfig') ?? {},
    prevResult: previous === undefined ? undefined : decodeResult(previous, 'prevResult'),
    validAttachments: parseAttachments(validKeys.map((key) => fields[key]).find((value) => value !== undefined)),
    fields,
    environment: Object.fromEntries(Object.entries(environment).filter(([key]) => key.startsWith('CNI_'))),
  }
}

/** The second is what the specification said before libcni's own name for it became its. */
const validKeys = ['cni.dev/valid-attachments', 'cni.dev/attachments'] as const

/** A list without entries is null where Go wrote it; that none was given is another matter. */
function parseAttachments(value: unknown): AttachmentId[] | undefined {
  if (value === undefined) return undefined
  if (value === null) return []
  if (!Array.isArray(value)) throw invalidConfig('cni.dev/valid-attachments is not a list')
  return value.map((entry: unknown) => {
    const { containerID: containerId, ifname } = isObject(entry) ? entry : {}
    if (!isContainerId(containerId) || !isInterfaceName(ifname)) throw invalidConfig(`cni.dev/valid-attachments has ${JSON.stringify(entry)}, not a containerID and an ifname`)
    return { containerId, ifname }
  })
}
