/** The parameters in the environment (CNI specification 1.1.0, section 2), checked at this border: nothing later sees an unchecked one. */
import { CniError } from './error.ts'

const commands = ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS', 'VERSION'] as const
export type Command = (typeof commands)[number]

export type Environment = Readonly<Record<string, string | undefined>>

/** A network of one container: the container's id and the link's name within it. */
export interface AttachmentId {
  readonly containerId: string
  readonly ifname: string
}

/** Extra values of the runtime: `CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAME=web;…` */
export interface Arguments {
  /** `namespace/name` */
  readonly pod?: string | undefined
  readonly ip?: string | undefined
  readonly mac?: string | undefined
}

/** What ADD, DEL and CHECK are about. */
export interface Invocation extends AttachmentId {
  /** Path of the network namespace; empty only for DEL, of a container whose namespace is gone. */
  readonly netns: string
  readonly args: Arguments
}

const knownArguments = new Set(['IgnoreUnknown', 'IP', 'MAC', 'K8S_POD_NAMESPACE', 'K8S_POD_NAME', 'K8S_POD_INFRA_CONTAINER_ID', 'K8S_POD_UID'])

function invalid(problem: string): CniError {
  return new CniError('invalidEnvironment', `Cannot use environment: ${problem}`)
}

export function parseCommand(environment: Environment): Command {
  const value = environment['CNI_COMMAND'] ?? ''
  const command = commands.find((one) => one === value)
  if (command === undefined) throw invalid(value === '' ? 'CNI_COMMAND is missing' : `CNI_COMMAND is ${JSON.stringify(value)}, not one of ${commands.join(', ')}`)
  return command
}

/** Container ids as the specification limits them; they name links and stand in files. */
export function isContainerId(value: unknown): value is string {
  return typeof value === 'string' && value.length <= 1024 && /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(value)
}

/** Link names as the kernel limits them. */
export function isInterfaceName(value: unknown): value is string {
  return typeof value === 'string' && Buffer.byteLength(value) >= 1 && Buffer.byteLength(value) <= 15 && value !== '.' && value !== '..' && !/[\s/:\0]/.test(value)
}

export function parseInvocation(command: 'ADD' | 'DEL' | 'CHECK', environment: Environment): Invocation {
  const containerId = environment['CNI_CONTAINERID'] ?? ''
  const ifname = environment['CNI_IFNAME'] ?? ''
  const netns = environment['CNI_NETNS'] ?? ''
  if (containerId === '') throw invalid('CNI_CONTAINERID is missing')
  if (!isContainerId(containerId)) throw invalid(`CNI_CONTAINERID ${JSON.stringify(containerId)} is not letters, digits, '_', '.' and '-', with a letter or digit first`)
  if (ifname === '') throw invalid('CNI_IFNAME is missing')
  if (!isInterfaceName(ifname)) throw invalid(`CNI_IFNAME ${JSON.stringify(ifname)} is no name for a link: 1 to 15 bytes, no slash, colon or space`)
  if (ifname === 'lo') throw invalid('CNI_IFNAME is lo, which every namespace has')
  if (netns === '' && command !== 'DEL') throw invalid('CNI_NETNS is missing')
  if (netns !== '' && (!netns.startsWith('/') || netns.includes('\0'))) throw invalid(`CNI_NETNS ${JSON.stringify(netns)} is not an absolute path`)
  return { containerId, ifname, netns, args: parseArguments(environment['CNI_ARGS'] ?? '') }
}

function parseArguments(text: string): Arguments {
  const pairs = new Map<string, string>()
  for (const pair of text.split(';').filter((one) => one !== '')) {
    const [, name, value] = /^([^=]+)=(.*)$/.exec(pair) ?? []
    if (name === undefined || value === undefined) throw invalid(`CNI_ARGS has ${JSON.stringify(pair)}, not NAME=VALUE`)
    pairs.set(name, value)
  }
  const lenient = ['1', 'true', 't', 'yes'].includes((pairs.get('IgnoreUnknown') ?? '').toLowerCase())
  const unknown = [...pairs.keys()].filter((name) => !knownArguments.has(name))
  if (unknown.length > 0 && !lenient) throw invalid(`CNI_ARGS has ${unknown.join(', ')}, which this plugin does not know (IgnoreUnknown=1 says that this is fine)`)
  const [namespace, name] = [pairs.get('K8S_POD_NAMESPACE'), pairs.get('K8S_POD_NAME')]
  const isName = (value: string | undefined): value is string => value !== undefined && /^[a-z0-9][a-z0-9.-]{0,252}$/.test(value)
  return { pod: isName(namespace) && isName(name) ? `${namespace}/${name}` : undefined, ip: pairs.get('IP'), mac: pairs.get('MAC') }
}
