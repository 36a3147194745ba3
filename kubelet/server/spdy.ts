/**
 * SPDY/3.1 framing, as much of it as port-forwarding uses (the SPDY Protocol, draft 3.1, sections 2.2 and 2.6).
 *
 *     control  | 1 | version 3 (15) | type (16) | flags (8) | length (24) | payload |
 *     data     | 0 | stream id (31)             | flags (8) | length (24) | data    |      flag 1: FIN
 *
 * Header blocks are one zlib stream in each direction, over a dictionary that the specification gives.
 */
import { constants, createDeflate, createInflate } from 'node:zlib'
import type { Deflate, Inflate } from 'node:zlib'

const version = 3
const synStream = 1
const synReply = 2
const rstStream = 3
const ping = 6
const fin = 1
/** A peer that announces more does not speak SPDY. */
const frameBytesMax = 8 * 1024 * 1024
/** Of a header block, unpacked. */
const blockBytesMax = 1024 * 1024

export type SpdyFrame =
  | { readonly kind: 'data'; readonly streamId: number; readonly isLast: boolean; readonly data: Buffer }
  | { readonly kind: 'open'; readonly streamId: number; readonly isLast: boolean; readonly block: Buffer }
  | { readonly kind: 'reply'; readonly streamId: number; readonly block: Buffer }
  | { readonly kind: 'reset'; readonly streamId: number }
  | { readonly kind: 'ping'; readonly id: number }
  | { readonly kind: 'other'; readonly type: number }

function decodeControl(type: number, flags: number, payload: Buffer): SpdyFrame {
  const streamId = payload.length >= 4 ? payload.readUInt32BE(0) & 0x7fff_ffff : 0
  if (type === synStream && payload.length >= 10) return { kind: 'open', streamId, isLast: (flags & fin) !== 0, block: payload.subarray(10) }
  if (type === synReply && payload.length >= 4) return { kind: 'reply', streamId, block: payload.subarray(4) }
  if (type === rstStream) return { kind: 'reset', streamId }
  if (type === ping && payload.length >= 4) return { kind: 'ping', id: payload.readUInt32BE(0) }
  return { kind: 'other', type }
}

/** Cuts a stream of bytes into frames. Throws for what cannot be SPDY. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0)

  push(data: Buffer): SpdyFrame[] {
    this.#rest = this.#rest.length === 0 ? data : Buffer.concat([this.#rest, data])
    const frames: SpdyFrame[] = []
    while (this.#rest.length >= 8) {
      const first = this.#rest.readUInt32BE(0)
      const flags = this.#rest.readUInt8(4)
      const length = this.#rest.readUIntBE(5, 3)
      const isControl = first >>> 31 === 1
      if (length > frameBytesMax || (isControl && ((first >>> 16) & 0x7fff) !== version)) throw new Error('Cannot read a SPDY frame: it is of another protocol')
      if (this.#rest.length < 8 + length) break
      const payload = this.#rest.subarray(8, 8 + length)
      this.#rest = this.#rest.subarray(8 + length)
      frames.push(isControl ? decodeControl(first & 0xffff, flags, payload) : { kind: 'data', streamId: first & 0x7fff_ffff, isLast: (flags & fin) !== 0, data: payload })
    }
    return frames
  }
}

function control(type: number, flags: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(8)
  head.writeUInt32BE((0x8000_0000 | (version << 16) | type) >>> 0)
  head.writeUInt8(flags, 4)
  head.writeUIntBE(payload.length, 5, 3)
  return Buffer.concat([head, payload])
}

function u32(...values: number[]): Buffer {
  const buffer = Buffer.alloc(4 * values.length)
  for (const [index, value] of values.entries()) buffer.writeUInt32BE(value >>> 0, 4 * index)
  return buffer
}

const protocolError = 1

export function encodeFrame(frame: Exclude<SpdyFrame, { kind: 'other' }>): Buffer {
  switch (frame.kind) {
    case 'open': return control(synStream, frame.isLast ? fin : 0, Buffer.concat([u32(frame.streamId, 0), Buffer.alloc(2), frame.block]))
    case 'reply': return control(synReply, 0, Buffer.concat([u32(frame.streamId), frame.block]))
    case 'reset': return control(rstStream, 0, u32(frame.streamId, protocolError))
    case 'ping': return control(ping, 0, u32(frame.id))
    case 'data': {
      const head = Buffer.alloc(8)
      head.writeUInt32BE(frame.streamId)
      head.writeUInt8(frame.isLast ? fin : 0, 4)
      head.writeUIntBE(frame.data.length, 5, 3)
      return Buffer.concat([head, frame.data])
    }
  }
}

const dictionaryWords = `options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow authorization
cache-control connection content-base content-encoding content-language content-length content-location content-md5 content-range content-type date etag
expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate
proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get status 200~OK
version HTTP/1.1 url public set-cookie keep-alive origin`

const dictionaryTail = [
  '100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505', '203 Non-Authoritative Information', '204 No Content',
  '301 Moved Permanently', '400 Bad Request', '401 Unauthorized', '403 Forbidden', '404 Not Found', '500 Internal Server Error', '501 Not Implemented', '503 Service Unavailable',
  'Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT',
  'chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,public',
  'privatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.',
].join('')

/** Section 2.6.10.1: words behind their lengths, then text. */
export const headerDictionary: Buffer = Buffer.concat([
  ...dictionaryWords.split(/\s+/).flatMap((word) => [u32(word.length), Buffer.from(word.replace('~', ' '))]),
  Buffer.from(dictionaryTail),
])

/** | pairs (4) | length (4) | name | length (4) | value | … */
function renderPairs(headers: Readonly<Record<string, string>>): Buffer {
  const text = (value: string): Buffer[] => [u32(Buffer.byteLength(value)), Buffer.from(value)]
  return Buffer.concat([u32(Object.keys(headers).length), ...Object.entries(headers).flatMap(([name, value]) => [...text(name), ...text(value)])])
}

function parsePairs(block: Buffer): Record<string, string> {
  let at = 4
  const text = (): string => {
    const length = block.readUInt32BE(at)
    at += 4 + length
    return block.toString('utf8', at - length, at)
  }
  const headers: Record<string, string> = {}
  for (let pairs = block.readUInt32BE(0); pairs > 0; pairs -= 1) {
    const name = text().toLowerCase()
    headers[name] = text()
  }
  return headers
}

/** Header blocks of one connection: each direction remembers all that went before, so blocks are coded in the order of their frames. */
export class HeaderCodec {
  readonly #inflate = createInflate({ dictionary: headerDictionary, flush: constants.Z_SYNC_FLUSH })
  readonly #deflate = createDeflate({ dictionary: headerDictionary, flush: constants.Z_SYNC_FLUSH })

  async decode(block: Buffer): Promise<Record<string, string>> {
    return parsePairs(await passThrough(this.#inflate, block))
  }

  encode(headers: Readonly<Record<string, string>>): Promise<Buffer> {
    return passThrough(this.#deflate, renderPairs(headers))
  }

  close(): void {
    this.#inflate.destroy()
    this.#deflate.destroy()
  }
}

function passThrough(stream: Inflate | Deflate, input: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = []
    let bytes = 0
    const onData = (data: Buffer): void => {
      parts.push(data)
      bytes += data.length
      if (bytes > blockBytesMax) stream.destroy(new Error('Cannot read a SPDY header block: it is too large'))
    }
    const finish = (): void => {
      stream.off('data', onData)
      stream.off('error', reject)
      resolve(Buffer.concat(parts))
    }
    stream.on('data', onData)
    stream.once('error', reject)
    // What the callback follows has been pushed, and is emitted at the latest with the next turn.
    stream.write(input, () => setImmediate(finish))
  })
}
