/**
 * Netlink sockets: requests, dumps, batches and multicast.
 *
 * Requests are synchronous: the kernel has answered before send(2) returns. A message (include/uapi/linux/netlink.h):
 *
 *     +--------+---------+----------+--------+---------+----------------------------+
 *     | len 32 | type 16 | flags 16 | seq 32 | port 32 | payload (header, attributes) |
 *     +--------+---------+----------+--------+---------+----------------------------+
 */
import { LayoutError, NetlinkError, SystemCallError, errnoNumber } from './errors.ts'
import {
  AF_NETLINK, MSG_DONTWAIT, MSG_TRUNC, SOCK_NONBLOCK, SOCK_RAW, SOL_SOCKET, SO_RCVBUF, SO_RCVBUFFORCE, SO_SNDBUF, SO_SNDBUFFORCE,
  bind, close, receive, send, sendInThread, setSocketOption, socket, socketOption, trySocketOption, waitReadable, watchReadable,
} from './ffi.ts'
import { attributes, cstring, u32 } from './layout.ts'
import type { Netns } from './netns.ts'

export const NETLINK_ROUTE = 0
export const NETLINK_NETFILTER = 12
export const NETLINK_GENERIC = 16

export const NLM_F_REQUEST = 0x1
export const NLM_F_MULTI = 0x2
export const NLM_F_ACK = 0x4
export const NLM_F_ECHO = 0x8
export const NLM_F_DUMP_INTR = 0x10
export const NLM_F_DUMP = 0x300
export const NLM_F_REPLACE = 0x100
export const NLM_F_EXCL = 0x200
export const NLM_F_CREATE = 0x400
export const NLM_F_APPEND = 0x800
const NLM_F_CAPPED = 0x100
const NLM_F_ACK_TLVS = 0x200

const NLMSG_ERROR = 2
const NLMSG_DONE = 3
const NLMSG_OVERRUN = 4

const SOL_NETLINK = 270
const NETLINK_ADD_MEMBERSHIP = 1
const NETLINK_CAP_ACK = 10
const NETLINK_EXT_ACK = 11
const NETLINK_GET_STRICT_CHK = 12

const HEADER_BYTES = 16
const RECEIVE_BYTES = 1 << 20
/** Dumps are cut into datagrams of at most 32 KiB; single messages are smaller than 64 KiB. */
const DATAGRAM_BYTES = 1 << 16
const ANSWER_TIMEOUT_MS = 5_000
const DUMP_ATTEMPTS = 10
/** Datagrams handled per turn of the event loop, so that a flood does not stall everything else. */
const DATAGRAMS_PER_TURN = 256

const ENOBUFS = errnoNumber('ENOBUFS')

/** What a request is about, for the error's words: `{ operation: 'add route', object: '10.0.0.0/8 via eth0' }`. */
export interface What {
  readonly operation: string
  readonly object: string
}

/** A message without its header. */
export interface Message {
  readonly type: number
  readonly payload: Buffer
}

/** A message to be sent in a batch; NLM_F_REQUEST is added. */
export interface OutgoingMessage {
  readonly type: number
  readonly flags: number
  readonly payload: Uint8Array
}

/** The kernel's verdict on one message of a batch. */
export interface Verdict {
  /** positive; 0 when accepted (or not reported on) */
  readonly errno: number
  readonly kernelMessage?: string | undefined
  /** offset of the offending attribute in the message, counted from its header */
  readonly offset?: number | undefined
  /** messages that answered this one */
  readonly replies: readonly Message[]
}

/** A running subscription. */
export interface Listening {
  close(): void
}

/** What request makers need of a socket: real or, in unit tests, a fake kernel. */
export interface Transport {
  /** Sends one message and waits for its acknowledgement. Returns the messages that came before it. */
  request(type: number, flags: number, payload: Uint8Array, what: What): readonly Message[]
  /** Sends a dump request and returns every message of the answer. */
  dump(type: number, flags: number, payload: Uint8Array, what: What): readonly Message[]
  close(): void
}

export interface SocketOptions {
  /** the namespace to open it in; the current one if left out */
  readonly netns?: Netns | undefined
  /** multicast groups to join, by number (RTNLGRP_LINK is 1) */
  readonly groups?: readonly number[] | undefined
  readonly receiveBufferBytes?: number | undefined
  readonly sendBufferBytes?: number | undefined
}

const errorAttributes = attributes({ message: [1, cstring], offset: [2, u32], missingType: [5, u32], missingNest: [6, u32] })

interface Frame extends Message {
  readonly flags: number
  readonly sequence: number
}

interface Refusal {
  readonly errno: number
  readonly kernelMessage?: string | undefined
  readonly offset?: number | undefined
}

/** A netlink socket of one protocol in one namespace. */
export class NetlinkSocket implements Transport {
  readonly #fd: number
  readonly #receiveBuffer = Buffer.allocUnsafeSlow(DATAGRAM_BYTES)
  #sequence = 1
  #open = true
  #sendBufferBytes: number

  private constructor(fd: number) {
    this.#fd = fd
    this.#sendBufferBytes = socketOption(fd, SOL_SOCKET, SO_SNDBUF)
  }

  /** Opens and binds a socket. `protocol` is NETLINK_ROUTE, NETLINK_NETFILTER, … */
  static open(protocol: number, options: SocketOptions = {}): NetlinkSocket {
    const create = (): number => socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, protocol)
    const fd = options.netns === undefined ? create() : options.netns.run<number>(create)
    try {
      const bytes = options.receiveBufferBytes ?? RECEIVE_BYTES
      if (!trySocketOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, bytes)) setSocketOption(fd, SOL_SOCKET, SO_RCVBUF, bytes)
      setSocketOption(fd, SOL_NETLINK, NETLINK_EXT_ACK, 1)
      setSocketOption(fd, SOL_NETLINK, NETLINK_CAP_ACK, 1)
      if (protocol === NETLINK_ROUTE) trySocketOption(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
      const address = Buffer.alloc(12)
      address.writeUInt16LE(AF_NETLINK)
      bind(fd, address)
      for (const group of options.groups ?? []) setSocketOption(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
      const made = new NetlinkSocket(fd)
      if (options.sendBufferBytes !== undefined) made.#ensureSendBuffer(options.sendBufferBytes)
      return made
    } catch (error) {
      close(fd)
      throw error
    }
  }

  /** The descriptor; of use to tests. */
  get descriptor(): number {
    return this.#fd
  }

  request(type: number, flags: number, payload: Uint8Array, what: What): readonly Message[] {
    return this.#acknowledged(this.#send([{ type, flags: flags | NLM_F_ACK, payload }], what), what)
  }

  /** `request` in a thread of the pool, for what the kernel takes long for. The socket is not to be used until it has answered. */
  async requestInThread(type: number, flags: number, payload: Uint8Array, what: What): Promise<readonly Message[]> {
    const { first, data } = this.#frame([{ type, flags: flags | NLM_F_ACK, payload }], what)
    try {
      await sendInThread(this.#fd, data)
    } catch (error) {
      throw inOperation(error, what)
    }
    return this.#acknowledged(first, what)
  }

  #acknowledged(sequence: number, what: What): readonly Message[] {
    const replies: Message[] = []
    for (;;) {
      for (const frame of this.#receive(what)) {
        if (frame.sequence !== sequence) continue
        if (frame.type !== NLMSG_ERROR && frame.type !== NLMSG_DONE) replies.push(frame)
        else {
          const refusal = readRefusal(frame)
          if (refusal.errno !== 0) throw new NetlinkError(what.operation, what.object, refusal.errno, refusal.kernelMessage, refusal.offset)
          return replies
        }
      }
    }
  }

  dump(type: number, flags: number, payload: Uint8Array, what: What): readonly Message[] {
    for (let attempt = 1; attempt <= DUMP_ATTEMPTS; attempt++) {
      const whole = this.#dumped(this.#send([{ type, flags: flags | NLM_F_DUMP, payload }], what), what)
      if (whole !== undefined) return whole
    }
    throw this.#restless(what)
  }

  /** `dump` in a thread of the pool, up to the first datagram: where the kernel looks through much and finds little. The socket is not to be used until it has answered. */
  async dumpInThread(type: number, flags: number, payload: Uint8Array, what: What): Promise<readonly Message[]> {
    for (let attempt = 1; attempt <= DUMP_ATTEMPTS; attempt++) {
      const { first, data } = this.#frame([{ type, flags: flags | NLM_F_DUMP, payload }], what)
      try {
        await sendInThread(this.#fd, data)
      } catch (error) {
        throw inOperation(error, what)
      }
      const whole = this.#dumped(first, what)
      if (whole !== undefined) return whole
    }
    throw this.#restless(what)
  }

  #restless(what: What): NetlinkError {
    return new NetlinkError(what.operation, what.object, errnoNumber('EAGAIN'), `(the list changed while being read, ${DUMP_ATTEMPTS} times in a row)`)
  }

  /** The answer to a dump; `undefined` where it was interrupted. */
  #dumped(sequence: number, what: What): Message[] | undefined {
    const messages: Message[] = []
    let interrupted = false
    for (;;) {
      for (const frame of this.#receive(what)) {
        if (frame.sequence !== sequence) continue
        interrupted ||= (frame.flags & NLM_F_DUMP_INTR) !== 0
        if (frame.type !== NLMSG_ERROR && frame.type !== NLMSG_DONE) messages.push(frame)
        else {
          const refusal = readRefusal(frame)
          if (refusal.errno !== 0) throw new NetlinkError(what.operation, what.object, refusal.errno, refusal.kernelMessage, refusal.offset)
          return interrupted ? undefined : messages
        }
      }
    }
  }

  /**
   * Sends several messages in one datagram, as nfnetlink's transactions need, and gathers what the kernel said to each.
   * Only refusals, and acknowledgements asked for by NLM_F_ACK, are answered at all: a verdict of 0 without reply is the rule.
   */
  transact(messages: readonly OutgoingMessage[], what: What): readonly Verdict[] {
    const first = this.#send(messages, what)
    const verdicts: (Verdict & { replies: Message[] })[] = messages.map(() => ({ errno: 0, replies: [] }))
    for (;;) {
      const frames = this.#receiveNow(what)
      if (frames === undefined) return verdicts
      for (const frame of frames) {
        const index = frame.sequence - first
        const verdict = verdicts[index]
        if (verdict === undefined) continue
        if (frame.type !== NLMSG_ERROR) verdict.replies.push(frame)
        else if (verdict.errno === 0) verdicts[index] = { ...readRefusal(frame), replies: verdict.replies }
      }
    }
  }

  /**
   * Calls `onMessage` for every multicast message from now on. `onOverrun` is called when messages were lost because
   * the buffer was full: whoever keeps a copy of the state has to list it again. Sockets that listen do nothing else.
   */
  listen(onMessage: (message: Message) => void, onOverrun: () => void = () => undefined): Listening {
    const what = { operation: 'listen to', object: 'netlink' }
    const watch = watchReadable(this.#fd, () => {
      for (let turn = 0; turn < DATAGRAMS_PER_TURN && this.#open; turn++) {
        let frames: readonly Frame[] | undefined
        try {
          frames = this.#receiveNow(what)
        } catch (error) {
          if (!(error instanceof NetlinkError && error.errno === ENOBUFS)) throw error
          onOverrun()
          continue
        }
        if (frames === undefined) return
        for (const frame of frames) {
          if (frame.type === NLMSG_OVERRUN) onOverrun()
          else if (frame.type >= HEADER_BYTES) onMessage(frame)
        }
      }
    })
    return { close: () => watch.close() }
  }

  /** May be called twice. A subscription is to be closed before. */
  close(): void {
    if (!this.#open) return
    this.#open = false
    close(this.#fd)
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #ensureSendBuffer(bytes: number): void {
    if (bytes + 32 <= this.#sendBufferBytes) return
    if (!trySocketOption(this.#fd, SOL_SOCKET, SO_SNDBUFFORCE, bytes + 32)) setSocketOption(this.#fd, SOL_SOCKET, SO_SNDBUF, bytes + 32)
    this.#sendBufferBytes = socketOption(this.#fd, SOL_SOCKET, SO_SNDBUF)
  }

  /** Returns the sequence number of the first message; those of the others follow. */
  #send(messages: readonly OutgoingMessage[], what: What): number {
    const { first, data } = this.#frame(messages, what)
    try {
      this.#ensureSendBuffer(data.length)
      send(this.#fd, data)
    } catch (error) {
      throw inOperation(error, what)
    }
    return first
  }

  #frame(messages: readonly OutgoingMessage[], what: What): { readonly first: number; readonly data: Buffer } {
    if (!this.#open) throw new Error(`Cannot ${what.operation} ${what.object}: the netlink socket is closed`)
    const first = this.#sequence
    this.#sequence = (this.#sequence + messages.length) & 0x7fffffff || 1
    return { first, data: frameMessages(messages, first) }
  }

  /** The next datagram's messages; waits for it a little should it not be there yet. */
  #receive(what: What): readonly Frame[] {
    const frames = this.#receiveNow(what)
    if (frames !== undefined) return frames
    if (!waitReadable(this.#fd, ANSWER_TIMEOUT_MS)) {
      throw new NetlinkError(what.operation, what.object, errnoNumber('ETIMEDOUT'), `(the kernel did not answer within ${ANSWER_TIMEOUT_MS} ms)`)
    }
    return this.#receiveNow(what) ?? []
  }

  #receiveNow(what: What): readonly Frame[] | undefined {
    let length: number | undefined
    try {
      length = receive(this.#fd, this.#receiveBuffer, MSG_DONTWAIT | MSG_TRUNC)
    } catch (error) {
      throw inOperation(error, what)
    }
    if (length === undefined) return undefined
    if (length > this.#receiveBuffer.length) throw new NetlinkError(what.operation, what.object, errnoNumber('EMSGSIZE'), `(an answer of ${length} bytes)`)
    return splitMessages(Buffer.from(this.#receiveBuffer.subarray(0, length)))
  }
}

function inOperation(error: unknown, what: What): unknown {
  return error instanceof SystemCallError ? new NetlinkError(what.operation, what.object, error.errno) : error
}

function frameMessages(messages: readonly OutgoingMessage[], firstSequence: number): Buffer {
  let size = 0
  for (const { payload } of messages) size += HEADER_BYTES + ((payload.length + 3) & ~3)
  const data = Buffer.alloc(size)
  let offset = 0
  for (const [index, { type, flags, payload }] of messages.entries()) {
    data.writeUInt32LE(HEADER_BYTES + payload.length, offset)
    data.writeUInt16LE(type, offset + 4)
    data.writeUInt16LE(flags | NLM_F_REQUEST, offset + 6)
    data.writeUInt32LE(firstSequence + index, offset + 8)
    data.set(payload, offset + HEADER_BYTES)
    offset += HEADER_BYTES + ((payload.length + 3) & ~3)
  }
  return data
}

/** Cuts a datagram into messages; the payloads share its memory. */
function splitMessages(data: Buffer): readonly Frame[] {
  const frames: Frame[] = []
  let offset = 0
  while (data.length - offset >= HEADER_BYTES) {
    const length = data.readUInt32LE(offset)
    if (length < HEADER_BYTES || offset + length > data.length) throw new LayoutError(`Cannot decode netlink message: its length ${length} does not fit in ${data.length - offset} bytes`)
    frames.push({
      type: data.readUInt16LE(offset + 4),
      flags: data.readUInt16LE(offset + 6),
      sequence: data.readUInt32LE(offset + 8),
      payload: data.subarray(offset + HEADER_BYTES, offset + length),
    })
    offset += (length + 3) & ~3
  }
  return frames
}

/**
 * Reads NLMSG_ERROR (errno, the refused message's header, perhaps the rest of it, then attributes) and NLMSG_DONE
 * (perhaps an errno, then attributes).
 */
function readRefusal({ type, flags, payload }: Frame): Refusal {
  if (payload.length < 4) return { errno: 0 }
  const errno = Math.abs(payload.readInt32LE(0))
  if ((flags & NLM_F_ACK_TLVS) === 0) return { errno }
  let start = 4
  if (type === NLMSG_ERROR) start += (flags & NLM_F_CAPPED) !== 0 || payload.length < 20 ? HEADER_BYTES : (payload.readUInt32LE(4) + 3) & ~3
  if (start > payload.length) return { errno }
  const details = errorAttributes.read(payload, start, payload.length)
  const missing = details.missingType === undefined ? undefined : `(attribute ${details.missingType} is missing)`
  return { errno, kernelMessage: details.message ?? missing, offset: details.offset }
}
