/** Runs a verb of a plugin: the specification's parameters in, standard output and exit status out. */
import { invalidConfig, parseConfig, parseInput } from './config.ts'
import type { PluginConfig } from './config.ts'
import { parseCommand, parseInvocation } from './environment.ts'
import type { AttachmentId, Command, Environment, Invocation } from './environment.ts'
import { CniError, asCniError, errorObject } from './error.ts'
import { encodeResult } from './result.ts'
import type { JsonObject, Result } from './result.ts'
import { isAtLeast, newestVersion, parseVersion, since, supportedVersions } from './version.ts'
import type { CniVersion } from './version.ts'

/** One execution, as the runtime asks for it. */
export interface Call {
  readonly environment: Environment
  /** Standard input. */
  readonly input: string
}

export interface Answer {
  /** Exit status. */
  readonly status: number
  /** Standard output: a result, an error object, or nothing. */
  readonly output: string
}

/** What a plugin does for each verb; a verb that cannot be done throws. Never partly done: ADD that throws has left nothing. */
export interface Plugin {
  add(config: PluginConfig, invocation: Invocation): Promise<Result>
  del(config: PluginConfig, invocation: Invocation): Promise<void>
  check(config: PluginConfig, invocation: Invocation): Promise<void>
  /** Removes what belongs to this network and to no attachment in `valid`. */
  gc(config: PluginConfig, valid: readonly AttachmentId[]): Promise<void>
  status(config: PluginConfig): Promise<void>
}

/** Never rejects: what goes wrong is the answer. */
export async function runPlugin(plugin: Plugin, { environment, input }: Call): Promise<Answer> {
  let cniVersion: CniVersion = newestVersion
  try {
    const command = parseCommand(environment)
    // of runtimes that ask what is spoken some say nothing
    const fields = command === 'VERSION' && input.trim() === '' ? {} : parseInput(input)
    if (command === 'VERSION') return answer({ cniVersion: versionAsked(fields['cniVersion']), supportedVersions })
    cniVersion = parseVersion(fields['cniVersion'])
    const least = (since as Readonly<Partial<Record<Command, CniVersion>>>)[command]
    if (least !== undefined && !isAtLeast(cniVersion, least)) {
      throw new CniError('incompatibleVersion', `Cannot ${command} with a configuration of version ${cniVersion}: ${least} brought it`)
    }
    return answer(await perform(plugin, command, environment, fields))
  } catch (error) {
    return { status: 1, output: `${JSON.stringify(errorObject(asCniError(error), cniVersion))}\n` }
  }
}

/** VERSION says again which version it was asked in (section 5), be it one that is not spoken here. */
function versionAsked(value: unknown): string {
  return typeof value === 'string' && /^\d+\.\d+\.\d+$/.test(value) ? value : newestVersion
}

function answer(value: JsonObject | undefined): Answer {
  return { status: 0, output: value === undefined ? '' : `${JSON.stringify(value)}\n` }
}

async function perform(plugin: Plugin, command: Exclude<Command, 'VERSION'>, environment: Environment, fields: JsonObject): Promise<JsonObject | undefined> {
  switch (command) {
    case 'ADD': {
      const invocation = parseInvocation(command, environment)
      const config = parseConfig(fields, environment)
      return encodeResult(await plugin.add(config, invocation), config.cniVersion)
    }
    case 'DEL': {
      const invocation = parseInvocation(command, environment)
      await plugin.del(parseConfig(fields, environment), invocation)
      return undefined
    }
    case 'CHECK': {
      const invocation = parseInvocation(command, environment)
      const config = parseConfig(fields, environment)
      if (config.prevResult === undefined) throw invalidConfig('CHECK needs prevResult')
      await plugin.check(config, invocation)
      return undefined
    }
    case 'GC': {
      const config = parseConfig(fields, environment)
      if (config.validAttachments === undefined) throw invalidConfig('GC needs cni.dev/valid-attachments')
      await plugin.gc(config, config.validAttachments)
      return undefined
    }
    case 'STATUS':
      await plugin.status(parseConfig(fields, environment))
      return undefined
  }
}
