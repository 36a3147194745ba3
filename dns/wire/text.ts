/** Records as zone files have them (RFC 1035 section 5): for people. */
import { addressText } from './address.ts'
import { className, typeName } from './constants.ts'
import { layoutOf } from './layouts.ts'
import type { Field } from './layouts.ts'
import type { ResourceRecord } from './message.ts'

/** `web.default.svc.cluster.local. 5 IN A 10.96.0.7` */
export function recordText({ name, ttl, class: recordClass, type, data }: ResourceRecord): string {
  const kinds = layoutOf(type)
  const fields = data.map((field, index) => fieldText(field, kinds[index] ?? 'rest'))
  return [name, ttl, className(recordClass), typeName(type), ...fields].join(' ')
}

function fieldText(field: Field, kind: string): string {
  if (typeof field === 'number' || typeof field === 'string') return String(field)
  if (!(field instanceof Uint8Array)) return field.map((bytes) => quoted(bytes)).join(' ')
  if (kind === 'ipv4' || kind === 'ipv6') return addressText(field)
  return kind === 'string' ? quoted(field) : `\\# ${field.length} ${Buffer.from(field).toString('hex')}`.trimEnd()
}

function quoted(bytes: Uint8Array): string {
  const chars = [...bytes].map((byte) => (byte === 0x22 || byte === 0x5c ? `\\${String.fromCharCode(byte)}` : byte < 0x20 || byte > 0x7e ? `\\${String(byte).padStart(3, '0')}` : String.fromCharCode(byte)))
  return `"${chars.join('')}"`
}
