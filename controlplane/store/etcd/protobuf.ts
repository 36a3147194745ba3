// Protocol buffers, as much as etcd's messages need: layouts are tables, and both directions follow from them. Whole numbers are
// JavaScript's: etcd's revisions stay far below 2^53, and what would not is refused rather than rounded.

interface Kind<T> {
  readonly wire: 0 | 2
  /** What a field is that was not sent. */
  readonly initial: T
  write(out: Writer, value: T): void
  read(from: Reader): T
}

export interface Field<T> {
  readonly number: number
  readonly kind: Kind<unknown>
  readonly isRepeated: boolean
  /** Only for the type. */
  readonly value?: T
}

type Fields = Readonly<Record<string, Field<unknown>>>
export type Decoded<L> = L extends Layout<infer F> ? Message<F> : never
type Message<F extends Fields> = { readonly [Name in keyof F]: F[Name] extends Field<infer T> ? T : never }

/** A message to be sent: what is left out is etcd's zero. */
export type Sent<T> = T extends Uint8Array ? T : T extends readonly (infer Item)[] ? readonly Sent<Item>[] : T extends object ? { readonly [Name in keyof T]?: Sent<T[Name]> } : T

const lengthMax = 2 ** 53

/** Collects pieces and puts them together once, however deep they stand. */
class Writer {
  readonly #parts: Uint8Array[] = []
  #length = 0
  /** What has not become a part yet. */
  #bytes: number[] = []

  varint(value: number): void {
    let rest = value
    while (rest >= 0x80) {
      this.#bytes.push((rest % 0x80) | 0x80)
      rest = Math.floor(rest / 0x80)
    }
    this.#bytes.push(rest)
  }

  lengthThen(bytes: Uint8Array): void {
    this.varint(bytes.length)
    this.#gather()
    this.#parts.push(bytes)
    this.#length += bytes.length
  }

  /** Another's pieces, preceded by their length. */
  lengthThenAll(inner: Writer): void {
    inner.#gather()
    this.varint(inner.#length)
    this.#gather()
    this.#parts.push(...inner.#parts)
    this.#length += inner.#length
  }

  finish(): Buffer {
    this.#gather()
    return Buffer.concat(this.#parts, this.#length)
  }

  #gather(): void {
    if (this.#bytes.length === 0) return
    this.#parts.push(Buffer.from(this.#bytes))
    this.#length += this.#bytes.length
    this.#bytes = []
  }
}

class Reader {
  readonly #bytes: Buffer
  at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get isDone(): boolean {
    return this.at >= this.#bytes.length
  }

  varint(): number {
    let value = 0
    for (let scale = 1; ; scale *= 0x80) {
      const byte = this.#bytes[this.at++]
      if (byte === undefined) throw new Error('Cannot read what etcd sent: it ends within a number')
      value += (byte & 0x7f) * scale
      if (byte < 0x80) break
    }
    if (value >= lengthMax) throw new Error(`Cannot read what etcd sent: the number ${value} is too large`)
    return value
  }

  bytes(): Buffer {
    const length = this.varint()
    const end = this.at + length
    if (end > this.#bytes.length) throw new Error('Cannot read what etcd sent: it ends within a field')
    const part = this.#bytes.subarray(this.at, end)
    this.at = end
    return part
  }

  skip(wire: number): void {
    if (wire === 0) while ((this.#bytes[this.at++] ?? 0) >= 0x80);
    else if (wire === 1) this.at += 8
    else if (wire === 2) this.bytes()
    else if (wire === 5) this.at += 4
    else throw new Error(`Cannot read what etcd sent: no field has wire type ${wire}`)
  }
}

const wholeNumber: Kind<number> = { wire: 0, initial: 0, write: (out, value) => out.varint(value), read: (from) => from.varint() }
const truth: Kind<boolean> = { wire: 0, initial: false, write: (out, value) => out.varint(value ? 1 : 0), read: (from) => from.varint() !== 0 }
const octets: Kind<Buffer> = { wire: 2, initial: Buffer.alloc(0), write: (out, value) => out.lengthThen(value), read: (from) => from.bytes() }
const characters: Kind<string> = { wire: 2, initial: '', write: (out, value) => out.lengthThen(Buffer.from(value)), read: (from) => from.bytes().toString() }

function field<T>(number: number, kind: Kind<T>): Field<T> {
  return { number, kind, isRepeated: false }
}

export const int = (number: number): Field<number> => field(number, wholeNumber)
export const bool = (number: number): Field<boolean> => field(number, truth)
export const bytes = (number: number): Field<Buffer> => field(number, octets)
export const text = (number: number): Field<string> => field(number, characters)

/** A message within a message; not sent is undefined. */
export function one<F extends Fields>(number: number, layout: Layout<F>): Field<Message<F> | undefined> {
  return field<Message<F> | undefined>(number, kindOf(layout))
}

export function many<F extends Fields>(number: number, layout: Layout<F>): Field<readonly Message<F>[]> {
  return { number, kind: kindOf(layout), isRepeated: true }
}

function kindOf<F extends Fields>(layout: Layout<F>): Kind<Message<F> | undefined> {
  const write = (out: Writer, value: Message<F> | undefined): void => {
    const inner = new Writer()
    layout.writeTo(inner, (value ?? {}) as Sent<Message<F>>)
    out.lengthThenAll(inner)
  }
  return { wire: 2, initial: undefined, write, read: (from) => layout.decode(from.bytes()) }
}

export class Layout<F extends Fields> {
  readonly #fields: readonly (readonly [name: string, field: Field<unknown>])[]
  readonly #byNumber: readonly ((readonly [name: string, field: Field<unknown>]) | undefined)[]

  constructor(fields: F) {
    this.#fields = Object.entries(fields)
    const byNumber: (readonly [string, Field<unknown>])[] = []
    for (const entry of this.#fields) byNumber[entry[1].number] = entry
    this.#byNumber = byNumber
  }

  encode(message: Sent<Message<F>>): Buffer {
    const out = new Writer()
    this.writeTo(out, message)
    return out.finish()
  }

  writeTo(out: Writer, message: Sent<Message<F>>): void {
    for (const [name, { number, kind, isRepeated }] of this.#fields) {
      const value = (message as Record<string, unknown>)[name]
      if (value === undefined) continue
      for (const each of isRepeated ? (value as readonly unknown[]) : [value]) {
        out.varint(number * 8 + kind.wire)
        kind.write(out, each)
      }
    }
  }

  decode(encoded: Buffer): Message<F> {
    const message: Record<string, unknown> = {}
    for (const [name, { kind, isRepeated }] of this.#fields) message[name] = isRepeated ? [] : kind.initial
    for (const from = new Reader(encoded); !from.isDone; ) {
      const tag = from.varint()
      const wire = tag % 8
      const known = this.#byNumber[(tag - wire) / 8]
      if (known === undefined || known[1].kind.wire !== wire) from.skip(wire)
      else if (known[1].isRepeated) (message[known[0]] as unknown[]).push(known[1].kind.read(from))
      else message[known[0]] = known[1].kind.read(from)
    }
    return message as Message<F>
  }
}
