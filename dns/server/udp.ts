/**
 * A UDP listener that takes and sends datagrams in batches: one recvmmsg(2) and one sendmmsg(2) for up to 64 questions, which is what makes
 * it faster than one event a datagram. The arrays that the two calls share (struct mmsghdr, bits/socket.h, on 64-bit machines):
 *
 *     +------+----------+---+-----+--------+---------+------------+-------+---+--------+---+
 *     | name | namelen  | - | iov | iovlen | control | controllen | flags | - | length | - |
 *     | u64  | u32      |   | u64 | u64    | u64     | u64        | i32   |   | u32    |   |
 *     +------+----------+---+-----+--------+---------+------------+-------+---+--------+---+
 */
import { AF_INET, addressOf, close, receiveMany, sendMany, setSocketOption, socketName, watchReadable } from '../../netlink/ffi.ts'
import type { OpenPlace } from './sockets.ts'

const batch = 64
/** Longer questions do not exist; what is cut off cannot be read and gets no answer. */
const questionBytesMax = 4096
/** No UDP answer is longer than the payload size that the responder announces. */
const answerBytesMax = 4096
const headerSize = 64
const addressSize = 28
/** Batches taken before others get a turn of the event loop. */
const batchesPerTurn = 16
const lengthOffset = 56
const nameLengthOffset = 8
const controlLengthOffset = 40
/** Which address a question came to (ip(7), ipv6(7)): struct cmsghdr of 16 bytes, struct in_pktinfo or in6_pktinfo, and what aligns them. */
const packetInformation = {
  ipv4: { level: 0, option: 8, bytes: 32, interfaceAt: 16 },
  ipv6: { level: 41, option: 49, bytes: 40, interfaceAt: 32 },
} as const

/** Answers a packet of a client (its address as 4 or 16 bytes, read at once or copied): at once, later, or not at all. */
export type Respond = (packet: Uint8Array, client: Uint8Array) => Buffer | undefined | Promise<Buffer | undefined>

/** Who asked, and what is said to the kernel of the answer. */
interface Sender {
  readonly address: Uint8Array
  readonly control: Uint8Array | undefined
}

/** `count` message headers, each with room for an address and `bytes` of payload. The memory is never moved. */
class Slots {
  readonly headers: Buffer
  readonly payload: Buffer
  readonly #addresses: Buffer
  readonly #vectors: Buffer
  readonly #control: Buffer
  readonly #controlBytes: number
  readonly #bytes: number

  constructor(count: number, bytes: number, controlBytes: number) {
    this.#bytes = bytes
    this.#controlBytes = controlBytes
    this.#control = Buffer.alloc(count * controlBytes)
    this.headers = Buffer.alloc(count * headerSize)
    this.payload = Buffer.alloc(count * bytes)
    this.#addresses = Buffer.alloc(count * addressSize)
    this.#vectors = Buffer.alloc(count * 16)
    const [addresses, vectors, payload] = [addressOf(this.#addresses), addressOf(this.#vectors), addressOf(this.payload)]
    const control = controlBytes === 0 ? 0n : addressOf(this.#control)
    for (let slot = 0; slot < count; slot += 1) {
      const at = slot * headerSize
      this.headers.writeBigUInt64LE(addresses + BigInt(slot * addressSize), at)
      this.headers.writeBigUInt64LE(vectors + BigInt(slot * 16), at + 16)
      this.headers.writeBigUInt64LE(1n, at + 24)
      if (controlBytes > 0) this.headers.writeBigUInt64LE(control + BigInt(slot * controlBytes), at + 32)
      this.#vectors.writeBigUInt64LE(payload + BigInt(slot * bytes), slot * 16)
    }
    this.reset(count)
  }

  /** Makes the first `count` slots ready to receive. */
  reset(count: number): void {
    for (let slot = 0; slot < count; slot += 1) {
      this.headers.writeUInt32LE(addressSize, slot * headerSize + nameLengthOffset)
      this.headers.writeUInt32LE(this.#controlBytes, slot * headerSize + controlLengthOffset)
      this.#vectors.writeUInt32LE(this.#bytes, slot * 16 + 8)
    }
  }

  /** What was received in a slot; valid until the next call to the kernel. */
  packet(slot: number): Buffer {
    const length = this.headers.readUInt32LE(slot * headerSize + lengthOffset)
    return this.payload.subarray(slot * this.#bytes, slot * this.#bytes + Math.min(length, this.#bytes))
  }

  /** Views of `length` bytes of each slot's address, from `start` on: made once, for each would be as large as a question. */
  addresses(start: number, length: number): readonly Uint8Array[] {
    return Array.from({ length: this.#addresses.length / addressSize }, (_, slot) => this.#addresses.subarray(slot * addressSize + start, slot * addressSize + start + length))
  }

  /** What the kernel said of the packet in a slot beside it; undefined: nothing. */
  control(slot: number): Uint8Array | undefined {
    if (this.#controlBytes === 0 || this.headers.readUInt32LE(slot * headerSize + controlLengthOffset) !== this.#controlBytes) return undefined
    return this.#control.subarray(slot * this.#controlBytes, (slot + 1) * this.#controlBytes)
  }

  fill(slot: number, { address, control }: Sender, payload: Uint8Array): void {
    if (control !== undefined) this.#control.set(control, slot * this.#controlBytes)
    if (this.#controlBytes > 0) this.headers.writeUInt32LE(control === undefined ? 0 : this.#controlBytes, slot * headerSize + controlLengthOffset)
    this.#addresses.set(address, slot * addressSize)
    this.payload.set(payload, slot * this.#bytes)
    this.headers.writeUInt32LE(address.length, slot * headerSize + nameLengthOffset)
    this.#vectors.writeUInt32LE(payload.length, slot * 16 + 8)
  }
}

export interface UdpListener {
  /** Reads no more; answers that are under way are still sent. Resolves when none is, after which the socket is closed. */
  leave(): Promise<void>
  close(): void
}

/** Answers what comes to a socket, which is its own from here on. */
export function listenUdp({ fd }: OpenPlace, respond: Respond): UdpListener {
  return new Listener(fd, respond)
}

class Listener implements UdpListener {
  readonly #fd: number
  /** Who sent what is in each slot: the whole socket address, and of it the IP address. */
  readonly #senders: readonly Uint8Array[]
  readonly #clients: readonly Uint8Array[]
  readonly #respond: Respond
  readonly #incoming: Slots
  readonly #outgoing: Slots
  /** Where the interface stands in what the kernel says of a packet. */
  readonly #interfaceAt: number
  readonly #watch: { close(): void }
  #open = true
  #reading = true
  #waiting = 0
  readonly #idle = Promise.withResolvers<void>()

  constructor(fd: number, respond: Respond) {
    this.#fd = fd
    this.#respond = respond
    const name = socketName(fd)
    const isV4 = name.readUInt16LE() === AF_INET
    const { level, option, bytes, interfaceAt } = packetInformation[isV4 ? 'ipv4' : 'ipv6']
    // On all addresses, an answer has to come from the one that was asked: the kernel would take the first on the way back.
    const isForAll = name.subarray(isV4 ? 4 : 8, isV4 ? 8 : 24).every((byte) => byte === 0)
    if (isForAll) setSocketOption(fd, level, option, 1)
    this.#interfaceAt = interfaceAt
    this.#incoming = new Slots(batch, questionBytesMax, isForAll ? bytes : 0)
    this.#outgoing = new Slots(batch, answerBytesMax, isForAll ? bytes : 0)
    this.#senders = this.#incoming.addresses(0, isV4 ? 16 : 28)
    this.#clients = isV4 ? this.#incoming.addresses(4, 4) : this.#incoming.addresses(8, 16)
    this.#watch = watchReadable(fd, () => this.#take())
  }

  async leave(): Promise<void> {
    if (this.#reading) this.#watch.close()
    this.#reading = false
    if (this.#waiting > 0) await this.#idle.promise
    this.close()
  }

  close(): void {
    if (!this.#open) return
    this.#open = false
    if (this.#reading) this.#watch.close()
    this.#reading = false
    this.#idle.resolve()
    close(this.#fd)
  }

  #take(): void {
    for (let turn = 0; turn < batchesPerTurn && this.#reading; turn += 1) {
      const count = this.#receive()
      if (count === 0) return
      this.#answer(count)
      if (count < batch) return
    }
  }

  #receive(): number {
    try {
      return receiveMany(this.#fd, this.#incoming.headers, batch)
    } catch {
      // An ICMP error about an answer of ours, reported on the next call: the asker has gone, there is nobody to tell.
      return 0
    }
  }

  #answer(count: number): void {
    const [incoming, outgoing] = [this.#incoming, this.#outgoing]
    let ready = 0
    for (let slot = 0; slot < count; slot += 1) {
      const [from, client] = [this.#senders[slot], this.#clients[slot]]
      if (from === undefined || client === undefined) continue
      const answer = this.#respond(incoming.packet(slot), client)
      if (answer === undefined) continue
      const control = incoming.control(slot)
      // The way back is the routes' to choose.
      control?.fill(0, this.#interfaceAt, this.#interfaceAt + 4)
      if (answer instanceof Promise) void this.#answerLater({ address: Buffer.from(from), control: control === undefined ? undefined : Buffer.from(control) }, answer)
      else outgoing.fill(ready++, { address: from, control }, answer)
    }
    incoming.reset(count)
    if (ready > 0) this.#send(outgoing, ready)
  }

  async #answerLater(sender: Sender, promised: Promise<Buffer | undefined>): Promise<void> {
    this.#waiting += 1
    const answer = await promised
    this.#waiting -= 1
    if (!this.#open) return
    if (answer !== undefined) {
      this.#outgoing.fill(0, sender, answer)
      this.#send(this.#outgoing, 1)
    }
    if (!this.#reading && this.#waiting === 0) this.#idle.resolve()
  }

  /** Sends what the kernel takes. What it does not take is lost, as datagrams are: the asker asks again. */
  #send(slots: Slots, count: number): void {
    let sent = 0
    while (sent < count) {
      const before = sent
      try {
        sent += sendMany(this.#fd, slots.headers.subarray(sent * headerSize), count - sent)
      } catch {
        // This one cannot be sent (no route to the asker, or one that lies about its address); those behind it can.
        sent += 1
      }
      if (sent === before) return
    }
  }
}
