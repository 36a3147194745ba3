/** What a configuration may ask for of the reference plugins that these take the place of, and that is not done here: refused, never left out. Pure. */
import type { PluginConfig } from '../protocol/config.ts'
import { CniError } from '../protocol/error.ts'

/** Frames between pods: there are none, all is routed. Ports and rates by who asks: a port is everybody's, a rate all traffic's. */
const unsupported = ['vlan', 'vlanTrunk', 'enabledad', 'disableContainerInterface', 'conditionsV4', 'conditionsV6', 'shapedSubnets', 'unshapedSubnets'] as const

/** Throws the specification's code for it, with the field and its value. What says no to a thing asks for nothing. */
export function refuseUnsupported({ fields }: PluginConfig): void {
  const asked = unsupported.find((name) => isAskedFor(fields[name]))
  if (asked !== undefined) throw new CniError('unsupportedField', `Cannot do what ${asked} asks for: ${JSON.stringify(fields[asked])} is not supported`)
}

function isAskedFor(value: unknown): boolean {
  return Array.isArray(value) ? value.length > 0 : ![undefined, null, false, 0, ''].includes(value as null)
}
