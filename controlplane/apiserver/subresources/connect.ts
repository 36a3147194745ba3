// Connections to pods, services and nodes are admitted like writes: CONNECT, with the options that are asked for as the object.
import { annotate } from '../audit-annotations.ts'
import type { ApiObject } from '../object.ts'
import { isTrue } from '../request-info.ts'
import type { Call } from '../routes/call.ts'

type Options = Record<string, unknown>

/** Asks admission about a connection, or a request that is led on. Throws its refusal. */
export async function admitConnection(call: Call): Promise<void> {
  const { serving, request, info, descriptor, user } = call
  const { subresource, namespace, name } = info
  const kind = kindOf(descriptor.kind, subresource)
  if (kind === undefined) return
  // The query is the other end's: nothing in it is an option of ours.
  const origin = { options: {}, annotate: (key: string, value: string) => annotate(request, key, value) }
  const object = { kind, apiVersion: 'v1', ...optionsOf(call) } as unknown as ApiObject
  await serving.writer.admit({ operation: 'CONNECT', descriptor, subresource, kind: { group: '', version: 'v1', kind }, namespace, name, object, old: undefined }, { user, origin })
}

const parts: Readonly<Record<string, string>> = { exec: 'Exec', attach: 'Attach', portforward: 'PortForward', proxy: 'Proxy' }

function kindOf(kind: string, subresource: string): string | undefined {
  const part = Object.hasOwn(parts, subresource) ? parts[subresource] : undefined
  return part === undefined ? undefined : `${kind}${part}Options`
}

function optionsOf({ request: { query }, info }: Call): Options {
  if (info.subresource === 'proxy') return { path: info.rest }
  const ports = query.getAll('ports').map(Number)
  if (info.subresource === 'portforward') return ports.length === 0 ? {} : { ports }
  const flags = ['stdin', 'stdout', 'stderr', 'tty'].filter((name) => isTrue(query.get(name))).map((name) => [name, true])
  const container = query.get('container')
  const command = query.getAll('command')
  return { ...(Object.fromEntries(flags) as Options), ...(container === null ? {} : { container }), ...(command.length === 0 ? {} : { command }) }
}
