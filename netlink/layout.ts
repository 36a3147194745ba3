/**
 * Message layouts as tables. A layout is a codec: it reads a value from bytes and writes it back.
 *
 *     const ifinfomsg = struct({ family: u8, pad: u8, type: u16, index: i32, flags: u32, change: u32 })
 *     const linkAttributes = attributes({ name: [IFLA_IFNAME, cstring], mtu: [IFLA_MTU, u32], info: [IFLA_LINKINFO, linkInfo] })
 *     type Link = Decoded<typeof linkAttributes>
 *
 * An attribute (include/uapi/linux/netlink.h, struct nlattr), padded to four bytes:
 *
 *     +--------+------------------+-----------------+---------+
 *     | len 16 | N | B | type 14  | value (len - 4) | padding |     N: NLA_F_NESTED, B: NLA_F_NET_BYTEORDER
 *     +--------+------------------+-----------------+---------+
 *
 * Attributes that a table does not know are kept in `unknown` and written back as they were.
 */
import { formatAddress, formatMac, parseAddress, parseMac } from './addresses.ts'
import { LayoutError } from './errors.ts'

export const NLA_F_NESTED = 0x8000
export const NLA_TYPE_MASK = 0x3fff

/** A growing buffer. Bytes are zero until written. */
export class Writer {
  buffer: Buffer
  length = 0

  constructor(capacity = 256) {
    this.buffer = Buffer.alloc(capacity)
  }

  /** Appends `size` zero bytes and returns their offset. */
  reserve(size: number): number {
    const offset = this.length
    this.length += size
    if (this.length > this.buffer.length) {
      const grown = Buffer.alloc(Math.max(this.length, this.buffer.length * 2))
      this.buffer.copy(grown, 0, 0, offset)
      this.buffer = grown
    }
    return offset
  }

  append(data: Uint8Array): void {
    const offset = this.reserve(data.length)
    this.buffer.set(data, offset)
  }

  /** Pads with zeros to a multiple of four. */
  pad(): void {
    if (this.length & 3) this.reserve(4 - (this.length & 3))
  }

  /** What was written; shares memory with the writer. */
  bytes(): Buffer {
    return this.buffer.subarray(0, this.length)
  }
}

/** How a value lies in bytes. `In` is what may be written where that is more lenient than what is read. */
export interface Codec<Out, In = Out> {
  /** written with NLA_F_NESTED when used as an attribute */
  readonly nested: boolean
  /** present means true, absent false */
  readonly flag: boolean
  read(data: Buffer, start: number, end: number): Out
  write(out: Writer, value: In): void
  decode(data: Uint8Array): Out
  encode(value: In): Buffer
}

/** A codec of known size, which may stand in a struct. */
export interface FixedCodec<Out, In = Out> extends Codec<Out, In> {
  readonly size: number
}

/** The value that a layout reads. */
export type Decoded<C> = C extends Codec<infer Out, infer _In> ? Out : never
/** The value that a layout writes. */
export type Encodable<C> = C extends Codec<infer _Out, infer In> ? In : never

interface CodecParts<Out, In> {
  nested?: boolean
  flag?: boolean
  readonly read: (data: Buffer, start: number, end: number) => Out
  readonly write: (out: Writer, value: In) => void
}

/** Makes a codec from how it reads and writes: for layouts that the tables below cannot say. */
export function codec<Out, In = Out>(parts: CodecParts<Out, In>): Codec<Out, In> {
  return {
    nested: parts.nested ?? false,
    flag: parts.flag ?? false,
    read: parts.read,
    write: parts.write,
    decode(data) {
      const buffer = Buffer.isBuffer(data) ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength)
      return parts.read(buffer, 0, buffer.length)
    },
    encode(value) {
      const out = new Writer()
      parts.write(out, value)
      return out.bytes()
    },
  }
}

function fixed<T>(size: number, get: (data: Buffer, offset: number) => T, put: (data: Buffer, offset: number, value: T) => void): FixedCodec<T> {
  const base = codec<T>({
    read(data, start, end) {
      if (end - start < size) throw new LayoutError(`Cannot decode value: ${end - start} bytes, not ${size}`)
      return get(data, start)
    },
    write(out, value) {
      const offset = out.reserve(size)
      try {
        put(out.buffer, offset, value)
      } catch (error) {
        throw new LayoutError(`Cannot encode ${String(value)}: ${(error as Error).message}`)
      }
    },
  })
  return { ...base, size }
}

// Netlink is in the host's byte order; both machines that Node's packages are for (x64, arm64) are little-endian.
export const u8 = fixed<number>(1, (d, o) => d.readUInt8(o), (d, o, v) => void d.writeUInt8(v, o))
export const u16 = fixed<number>(2, (d, o) => d.readUInt16LE(o), (d, o, v) => void d.writeUInt16LE(v, o))
export const u32 = fixed<number>(4, (d, o) => d.readUInt32LE(o), (d, o, v) => void d.writeUInt32LE(v, o))
export const u64 = fixed<bigint>(8, (d, o) => d.readBigUInt64LE(o), (d, o, v) => void d.writeBigUInt64LE(v, o))
export const i32 = fixed<number>(4, (d, o) => d.readInt32LE(o), (d, o, v) => void d.writeInt32LE(v, o))
export const be16 = fixed<number>(2, (d, o) => d.readUInt16BE(o), (d, o, v) => void d.writeUInt16BE(v, o))
export const be32 = fixed<number>(4, (d, o) => d.readUInt32BE(o), (d, o, v) => void d.writeUInt32BE(v, o))
export const be64 = fixed<bigint>(8, (d, o) => d.readBigUInt64BE(o), (d, o, v) => void d.writeBigUInt64BE(v, o))

/** Any bytes. What is read is a copy. */
export const bytes: Codec<Buffer, Uint8Array> = codec<Buffer, Uint8Array>({
  read: (data, start, end) => Buffer.from(data.subarray(start, end)),
  write: (out, value) => out.append(value),
})

/** Exactly `size` bytes. */
export function byteArray(size: number): FixedCodec<Buffer, Uint8Array> {
  const base = codec<Buffer, Uint8Array>({
    read(data, start, end) {
      if (end - start < size) throw new LayoutError(`Cannot decode value: ${end - start} bytes, not ${size}`)
      return Buffer.from(data.subarray(start, start + size))
    },
    write(out, value) {
      if (value.length !== size) throw new LayoutError(`Cannot encode ${value.length} bytes: not ${size}`)
      out.append(value)
    },
  })
  return { ...base, size }
}

/** Text with a terminating NUL on the wire (read with or without it). */
export const cstring = codec<string>({
  read(data, start, end) {
    let stop = start
    while (stop < end && data[stop] !== 0) stop++
    return data.toString('utf8', start, stop)
  },
  write(out, value) {
    if (value.includes('\0')) throw new LayoutError('Cannot encode text: it holds a NUL')
    out.append(Buffer.from(value))
    out.reserve(1)
  },
})

/** Text without a terminator. */
export const string = codec<string>({
  read: (data, start, end) => data.toString('utf8', start, end),
  write: (out, value) => out.append(Buffer.from(value)),
})

/** An attribute whose presence is its value. */
export const flag = codec<boolean>({ flag: true, read: () => true, write: () => undefined })

/** An IPv4 or IPv6 address as text, told apart by length. */
export const address = codec<string>({
  read: (data, start, end) => formatAddress(data, start, end - start),
  write: (out, value) => out.append(parseAddress(value)),
})

function addressOfSize(size: number): FixedCodec<string> {
  return fixed<string>(size, (d, o) => formatAddress(d, o, size), (d, o, v) => {
    const parsed = parseAddress(v)
    if (parsed.length !== size) throw new RangeError(`not ${size} bytes`)
    d.set(parsed, o)
  })
}
export const ipv4 = addressOfSize(4)
export const ipv6 = addressOfSize(16)

/** A link-layer address as text. */
export const mac = codec<string>({
  read: (data, start, end) => formatMac(data, start, end - start),
  write: (out, value) => out.append(parseMac(value)),
})

type StructOut<F> = { readonly [K in keyof F]: Decoded<F[K]> }
type StructIn<F> = { readonly [K in keyof F]?: Encodable<F[K]> | undefined }
// every codec is assignable to these, whatever its value: it reads something unknown and writes something particular
type AnyCodec = Codec<unknown, never>
type AnyFixed = FixedCodec<unknown, never>

/** Fields one after another, unpadded: padding is a field of the table. Fields left out are written as zeros. */
export function struct<F extends Readonly<Record<string, AnyFixed>>>(fields: F): FixedCodec<StructOut<F>, StructIn<F>> {
  const entries = Object.entries(fields) as [string, FixedCodec<unknown, unknown>][]
  const size = entries.reduce((sum, [, field]) => sum + field.size, 0)
  const base = codec<StructOut<F>, StructIn<F>>({
    read(data, start, end) {
      if (end - start < size) throw new LayoutError(`Cannot decode structure: ${end - start} bytes, not ${size}`)
      const value: Record<string, unknown> = {}
      let offset = start
      for (const [name, field] of entries) {
        value[name] = field.read(data, offset, offset + field.size)
        offset += field.size
      }
      return value as StructOut<F>
    },
    write(out, value) {
      const given = value as Readonly<Record<string, unknown>>
      for (const [name, field] of entries) {
        if (given[name] === undefined) out.reserve(field.size)
        else field.write(out, given[name])
      }
    },
  })
  return { ...base, size }
}

/** An attribute that a table does not know; `type` is as on the wire, with its flags. */
export interface UnknownAttribute {
  readonly type: number
  readonly data: Uint8Array
}

type AttributeFields = Readonly<Record<string, readonly [type: number, codec: AnyCodec]>>
type AttributesOut<F extends AttributeFields> = { readonly [K in keyof F]?: Decoded<F[K][1]> | undefined } & { readonly unknown?: readonly UnknownAttribute[] | undefined }
type AttributesIn<F extends AttributeFields> = { readonly [K in keyof F]?: Encodable<F[K][1]> | undefined } & { readonly unknown?: readonly UnknownAttribute[] | undefined }

/** Writes one attribute around what `body` writes. */
export function writeAttribute(out: Writer, type: number, body: () => void): void {
  const start = out.reserve(4)
  body()
  const length = out.length - start
  if (length > 0xffff) throw new LayoutError(`Cannot encode attribute ${type & NLA_TYPE_MASK}: ${length} bytes, more than 65535`)
  out.buffer.writeUInt16LE(length, start)
  out.buffer.writeUInt16LE(type, start + 2)
  out.pad()
}

/** Visits attributes: `visit(type with flags, start and end of the value)`. Up to three bytes at the end are padding. */
export function readAttributes(data: Buffer, start: number, end: number, visit: (type: number, start: number, end: number) => void): void {
  let offset = start
  while (end - offset >= 4) {
    const length = data.readUInt16LE(offset)
    if (length < 4 || offset + length > end) throw new LayoutError(`Cannot decode attribute: its length ${length} does not fit in ${end - offset} bytes`)
    visit(data.readUInt16LE(offset + 2), offset + 4, offset + length)
    offset += (length + 3) & ~3
  }
}

/**
 * A table of attributes, each of which may be absent. They are written in the table's order; `flag` only when true. Where one is repeated the last counts.
 */
export function attributes<F extends AttributeFields>(fields: F): Codec<AttributesOut<F>, AttributesIn<F>> {
  const entries = Object.entries(fields).map(([name, [type, codec]]) => ({ name, type, codec: codec as Codec<unknown> }))
  const byType = new Map(entries.map((entry) => [entry.type, entry]))
  return codec<AttributesOut<F>, AttributesIn<F>>({
    nested: true,
    read(data, start, end) {
      const value: Record<string, unknown> = {}
      let unknown: UnknownAttribute[] | undefined
      readAttributes(data, start, end, (type, from, to) => {
        const entry = byType.get(type & NLA_TYPE_MASK)
        if (entry !== undefined) value[entry.name] = entry.codec.read(data, from, to)
        else (unknown ??= []).push({ type, data: Buffer.from(data.subarray(from, to)) })
      })
      if (unknown !== undefined) value['unknown'] = unknown
      return value as AttributesOut<F>
    },
    write(out, value) {
      const given = value as Readonly<Record<string, unknown>>
      for (const { name, type, codec } of entries) {
        const field = given[name]
        if (field === undefined || (codec.flag && field === false)) continue
        writeAttribute(out, codec.nested ? type | NLA_F_NESTED : type, () => codec.write(out, field))
      }
      for (const { type, data } of value.unknown ?? []) writeAttribute(out, type, () => out.append(data))
    },
  })
}

/** A table inside an attribute. A function where tables refer to each other or to themselves. */
export function nested<Out, In>(table: Codec<Out, In> | (() => Codec<Out, In>)): Codec<Out, In> {
  const resolve = typeof table === 'function' ? table : () => table
  return codec<Out, In>({
    nested: true,
    read: (data, start, end) => resolve().read(data, start, end),
    write: (out, value) => resolve().write(out, value),
  })
}

/** An attribute that holds a row of attributes of one type (`NFTA_LIST_ELEM` is 1); read whatever their types. */
export function arrayOf<Out, In>(element: Codec<Out, In>, { type = 1, nested = true }: { type?: number; nested?: boolean } = {}): Codec<readonly Out[], readonly In[]> {
  const written = element.nested ? type | NLA_F_NESTED : type
  return codec<readonly Out[], readonly In[]>({
    nested,
    read(data, start, end) {
      const values: Out[] = []
      readAttributes(data, start, end, (_type, from, to) => void values.push(element.read(data, from, to)))
      return values
    },
    write(out, values) {
      for (const value of values) writeAttribute(out, written, () => element.write(out, value))
    },
  })
}

/** A fixed header followed (from the next multiple of four) by attributes: what most netlink messages are. */
export function message<HOut, HIn, AOut, AIn>(header: FixedCodec<HOut, HIn>, body: Codec<AOut, AIn>): Codec<{ readonly header: HOut; readonly attributes: AOut }, { readonly header: HIn; readonly attributes: AIn }> {
  const bodyAt = (header.size + 3) & ~3
  return codec<{ readonly header: HOut; readonly attributes: AOut }, { readonly header: HIn; readonly attributes: AIn }>({
    read: (data, start, end) => ({ header: header.read(data, start, end), attributes: body.read(data, Math.min(start + bodyAt, end), end) }),
    write(out, value) {
      header.write(out, value.header)
      out.pad()
      body.write(out, value.attributes)
    },
  })
}
