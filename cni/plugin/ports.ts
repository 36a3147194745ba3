/** The capability `portMappings`: ports of the host that lead to the pod. Pure. */
import { canonicalAddress } from '../../netlink/addresses.ts'
import { invalidConfig, isObject, looseField } from '../protocol/config.ts'
import type { Family } from './want.ts'

const protocols = ['tcp', 'udp', 'sctp'] as const
type Protocol = (typeof protocols)[number]

export interface PortMapping {
  readonly protocol: Protocol
  readonly hostPort: number
  readonly containerPort: number
  /** The families that it is for: those of the pod, or that of the host's address. */
  readonly families: readonly Family[]
  /** One address of the host; left out, all of them. */
  readonly hostIP?: string | undefined
}

/** Reads `runtimeConfig.portMappings`. `families` are those that the pod can have. */
export function parsePortMappings(value: unknown): PortMapping[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) throw invalidConfig('portMappings is not a list')
  const seen = new Map<string, PortMapping>()
  for (const mapping of value.map((one: unknown) => parsePortMapping(one))) {
    const key = [mapping.protocol, mapping.hostPort, mapping.hostIP ?? '', ...mapping.families].join(' ')
    const other = seen.get(key)
    if (other !== undefined && other.containerPort !== mapping.containerPort) throw invalidConfig(`portMappings leads ${mapping.protocol} port ${mapping.hostPort} of the host to both ${other.containerPort} and ${mapping.containerPort}`)
    seen.set(key, mapping)
  }
  return [...seen.values()]
}

function parsePortMapping(value: unknown): PortMapping {
  if (!isObject(value)) throw invalidConfig(`portMappings has ${JSON.stringify(value)}, not an object`)
  const [hostPort, containerPort, given, hostIP] = ['hostPort', 'containerPort', 'protocol', 'hostIP'].map((name) => looseField(value, name))
  const name = given === undefined || given === null || given === '' ? 'tcp' : String(given).toLowerCase()
  const protocol = protocols.find((one) => one === name)
  if (protocol === undefined) throw invalidConfig(`portMappings has protocol ${JSON.stringify(given)}, not one of ${protocols.join(', ')}`)
  return { protocol, hostPort: parsePort('hostPort', hostPort), containerPort: parsePort('containerPort', containerPort), ...parseHostAddress(hostIP) }
}

function parsePort(name: string, value: unknown): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > 65535) throw invalidConfig(`portMappings has ${name} ${JSON.stringify(value)}, not 1 to 65535`)
  return value
}

/** `0.0.0.0` and `::` are all addresses of their family. */
function parseHostAddress(value: unknown): Pick<PortMapping, 'families' | 'hostIP'> {
  if (value === undefined || value === null || value === '') return { families: ['ipv4', 'ipv6'] }
  let address
  try {
    address = canonicalAddress(String(value))
  } catch (error) {
    throw invalidConfig(`portMappings has hostIP ${JSON.stringify(value)}: ${(error as Error).message}`)
  }
  const families = [address.includes(':') ? 'ipv6' : 'ipv4'] as const
  return address === '0.0.0.0' || address === '::' ? { families } : { families, hostIP: address }
}
