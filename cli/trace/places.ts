/** The two ends of a trace as they are written on the command line. Pure. */
import { isIP } from 'node:net'

export type Source = { readonly kind: 'pod'; readonly namespace: string; readonly name: string } | { readonly kind: 'node'; readonly name: string }

export type Target =
  | { readonly kind: 'pod' | 'service'; readonly namespace: string; readonly name: string; readonly port: string | undefined }
  | { readonly kind: 'address'; readonly address: string; readonly port: string | undefined }

const kinds: Readonly<Record<string, 'pod' | 'service' | 'node'>> = { pod: 'pod', po: 'pod', service: 'service', svc: 'service', node: 'node', no: 'node' }
const named = /^([a-z]+)\/(?:([a-z0-9-]+)\/)?([a-z0-9.-]+?)(?::([a-z0-9-]+))?$/

/** Reads `pod/NAME`, `pod/NAMESPACE/NAME` or `node/NAME`. */
export function parseSource(text: string, namespace: string): Source {
  const place = parseNamed(text, namespace)
  if (place === undefined || place.kind === 'service' || place.port !== undefined) throw new Error(`Cannot trace from ${JSON.stringify(text)}: it is no pod/[NAMESPACE/]NAME or node/NAME`)
  return place.kind === 'pod' ? { kind: 'pod', namespace: place.namespace, name: place.name } : { kind: 'node', name: place.name }
}

/** Reads `svc/NAME[:PORT]`, `pod/NAME[:PORT]` (both with a namespace before the name, if need be) or `ADDRESS[:PORT]`. */
export function parseTarget(text: string, namespace: string): Target {
  const place = parseNamed(text, namespace)
  if (place !== undefined && place.kind !== 'node') return { ...place, kind: place.kind }
  const [, bracketed, bare, port] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(text) ?? []
  const address = isIP(text) === 0 ? (bracketed ?? bare ?? '') : text
  if (isIP(address) === 0) throw new Error(`Cannot trace to ${JSON.stringify(text)}: it is no svc/[NAMESPACE/]NAME[:PORT], pod/[NAMESPACE/]NAME[:PORT] or ADDRESS[:PORT]`)
  return { kind: 'address', address, port }
}

function parseNamed(text: string, namespace: string): { readonly kind: 'pod' | 'service' | 'node'; readonly namespace: string; readonly name: string; readonly port: string | undefined } | undefined {
  const [, word = '', within = namespace, name = '', port] = named.exec(text) ?? []
  const kind = kinds[word]
  return kind === undefined ? undefined : { kind, namespace: within, name, port }
}
