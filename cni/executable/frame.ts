/**
 * What an executable and the resident part say to each other over the socket. Made so that an executable of a few hundred bytes can write it:
 *
 *   request    "FWC1"   plugin's name, 16 bytes, zeros behind it   length of the environment, 32 bits little endian
 *              environment: NAME=VALUE, each with a zero behind it  standard input, to the end of the stream
 *   answer     exit status, one byte   standard output, to the end of the stream
 */
import type { Answer, Call } from '../protocol/run.ts'

const magic = 'FWC1'
const nameBytes = 16
export const headerBytes = magic.length + nameBytes + 4

/** The header with the environment's length left at zero. */
export function requestHeader(name: string): Buffer {
  const header = Buffer.alloc(headerBytes)
  header.write(magic)
  header.write(name, magic.length, nameBytes)
  return header
}

export function encodeRequest(name: string, { environment, input }: Call): Buffer {
  const block = Buffer.from(Object.entries(environment).flatMap(([key, value]) => (value === undefined ? [] : [`${key}=${value}\0`])).join(''))
  const header = requestHeader(name)
  header.writeUInt32LE(block.length, headerBytes - 4)
  return Buffer.concat([header, block, Buffer.from(input)])
}

/** Throws where it is no request; a call that lost its end is one with less input, which is no JSON. */
export function decodeRequest(data: Buffer): { readonly name: string; readonly call: Call } {
  const length = data.length < headerBytes ? -1 : data.readUInt32LE(headerBytes - 4)
  if (length < 0 || data.toString('latin1', 0, magic.length) !== magic || length > data.length - headerBytes) throw new Error('Cannot read request: it is none of ours, or was cut off')
  const environment: Record<string, string> = {}
  for (const pair of data.toString('utf8', headerBytes, headerBytes + length).split('\0')) {
    const at = pair.indexOf('=')
    if (pair.startsWith('CNI_') && at > 0) environment[pair.slice(0, at)] ??= pair.slice(at + 1)
  }
  return {
    name: data.toString('latin1', magic.length, magic.length + nameBytes).replace(/\0+$/, ''),
    call: { environment, input: data.toString('utf8', headerBytes + length) },
  }
}

export function encodeAnswer({ status, output }: Answer): Buffer {
  return Buffer.concat([Buffer.from([status]), Buffer.from(output)])
}
