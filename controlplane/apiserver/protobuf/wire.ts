// The wire format of protobuf: records of a number and a value (protobuf.dev/programming-guides/encoding).
//
//     record  | tag: number << 3 | wire type (varint) | value |      wire type 0 varint, 1 eight bytes, 2 length (varint) and bytes, 5 four bytes

export interface WireRecord {
  readonly number: number
  /** Bytes, or a number: of a varint (BigInt beyond what a number holds exactly) or of a double. */
  readonly value: Buffer | number | bigint
}

/** The records of a message, in order. Throws for what is cut off or of an unknown wire type. */
export function* records(bytes: Buffer): Generator<WireRecord> {
  let at = 0
  const varint = (): number | bigint => {
    let small = 0
    for (let factor = 1; factor < 2 ** 49; factor *= 128) {
      const byte = bytes[at++]
      if (byte === undefined) throw new Error('it ends in the middle of a number')
      small += (byte & 0x7f) * factor
      if (byte < 0x80) return small
    }
    let large = BigInt(small)
    for (let shift = 49n; shift < 70n; shift += 7n) {
      const byte = bytes[at++]
      if (byte === undefined) throw new Error('it ends in the middle of a number')
      large |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) {
        const signed = BigInt.asIntN(64, large)
        return Number.isSafeInteger(Number(signed)) ? Number(signed) : signed
      }
    }
    throw new Error('a number is too long')
  }
  const take = (length: number | bigint): Buffer => {
    if (typeof length === 'bigint' || length < 0 || at + length > bytes.length) throw new Error('it ends in the middle of a field')
    at += length
    return bytes.subarray(at - length, at)
  }
  while (at < bytes.length) {
    const tag = Number(varint())
    const number = Math.floor(tag / 8)
    switch (tag % 8) {
      case 0:
        yield { number, value: varint() }
        break
      case 1:
        yield { number, value: take(8).readDoubleLE() }
        break
      case 2:
        yield { number, value: take(varint()) }
        break
      case 5:
        yield { number, value: take(4).readFloatLE() }
        break
      default:
        throw new Error(`wire type ${tag % 8} is not known`)
    }
  }
}

/**
 * Writes records from the last to the first, from the end of a buffer towards its beginning, so that the length of what a record holds is
 * known when it is written before it.
 */
export class BackwardWriter {
  #buffer = Buffer.allocUnsafe(1024)
  #at = 1024

  /** How much is written. A record's value is what came since the length that was read before it. */
  get length(): number {
    return this.#buffer.length - this.#at
  }

  /** What is written, from its first byte. */
  get bytes(): Buffer {
    return this.#buffer.subarray(this.#at)
  }

  raw(bytes: Uint8Array): void {
    this.#room(bytes.length)
    this.#at -= bytes.length
    this.#buffer.set(bytes, this.#at)
  }

  text(value: string): void {
    const length = Buffer.byteLength(value)
    this.#room(length)
    this.#at -= length
    this.#buffer.write(value, this.#at, length)
  }

  double(value: number): void {
    this.#room(8)
    this.#at -= 8
    this.#buffer.writeDoubleLE(value, this.#at)
  }

  /** A whole number; negative ones take ten bytes. */
  varint(value: number | bigint): void {
    if (typeof value === 'number' && value >= 0 && value < 2 ** 31) return this.#smallVarint(value)
    const bytes: number[] = []
    let rest = BigInt.asUintN(64, BigInt(value))
    for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80)
    this.raw(Uint8Array.from([...bytes, Number(rest)]))
  }

  tag(number: number, wireType: 0 | 1 | 2): void {
    this.#smallVarint(number * 8 + wireType)
  }

  /** Ends a record of bytes: everything since the writer had `before` bytes. */
  bounded(number: number, before: number): void {
    this.#smallVarint(this.length - before)
    this.tag(number, 2)
  }

  #smallVarint(value: number): void {
    const size = value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : value < 0x1000_0000 ? 4 : 5
    this.#room(size)
    this.#at -= size
    let rest = value
    for (let i = 0; i < size - 1; i++) {
      this.#buffer[this.#at + i] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    this.#buffer[this.#at + size - 1] = rest
  }

  #room(bytes: number): void {
    if (this.#at >= bytes) return
    const { length } = this.#buffer
    const larger = Buffer.allocUnsafe(Math.max(2 * length, length + bytes))
    larger.set(this.bytes, larger.length - this.length)
    this.#at += larger.length - length
    this.#buffer = larger
  }
}
