/** As much of protobuf's encoding as a few messages of the CRI need (https://protobuf.dev/programming-guides/encoding/). */

function varint(value: number): Buffer {
  const bytes: number[] = []
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 0x80) return Buffer.from([...bytes, rest])
    bytes.push((rest & 0x7f) | 0x80)
  }
}

export function integerField(number: number, value: number): Buffer {
  return Buffer.concat([varint(number << 3), varint(value)])
}

/** Text, bytes, or a message. */
export function bytesField(number: number, value: string | Buffer): Buffer {
  const data = Buffer.from(value as Buffer)
  return Buffer.concat([varint((number << 3) | 2), varint(data.length), data])
}

/** The fields of a message that hold bytes, by number; others are left out. */
export function decodeFields(data: Buffer): Map<number, Buffer[]> {
  const fields = new Map<number, Buffer[]>()
  let offset = 0
  const read = (): number => {
    for (let value = 0, shift = 1; ; shift *= 128) {
      const byte = data[offset++] ?? 0
      value += (byte & 0x7f) * shift
      if (byte < 0x80) return value
    }
  }
  while (offset < data.length) {
    const tag = read()
    if ((tag & 7) === 0) read()
    else if ((tag & 7) === 1) offset += 8
    else if ((tag & 7) === 5) offset += 4
    else {
      const length = read()
      fields.set(tag >>> 3, [...(fields.get(tag >>> 3) ?? []), data.subarray(offset, offset + length)])
      offset += length
    }
  }
  return fields
}
