/** The plugins by the name of their executable. */
import { Ipam, ipamType } from './ipam/index.ts'
import { FairwayPlugin } from './plugin/index.ts'
import { CniError, asCniError, errorObject } from './protocol/error.ts'
import { runPlugin } from './protocol/run.ts'
import type { Answer, Call, Plugin } from './protocol/run.ts'
import { newestVersion } from './protocol/version.ts'

export const pluginNames = ['fairway', ipamType] as const

/** Both plugins over one set of journals. */
export class Plugins {
  readonly #plugins: ReadonlyMap<string, Plugin>

  constructor() {
    const ipam = new Ipam()
    this.#plugins = new Map<string, Plugin>([['fairway', new FairwayPlugin(ipam)], [ipamType, ipam]])
  }

  /** Never rejects: what goes wrong is the answer. */
  async run(name: string, call: Call): Promise<Answer> {
    const plugin = this.#plugins.get(name)
    if (plugin !== undefined) return runPlugin(plugin, call)
    return { status: 1, output: `${JSON.stringify(errorObject(asCniError(new CniError('internal', `Cannot run plugin ${JSON.stringify(name)}: there are ${pluginNames.join(' and ')}`)), newestVersion))}\n` }
  }
}
