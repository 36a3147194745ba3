/**
 * Two processes hand over: the new one asks the old for its open sockets, begins to answer on them once it knows the cluster's names, and then says so;
 * the old one reads no more, ends what is under way, and ends. It is the same sockets all the time, so what waits in them is lost to nobody.
 *
 * Over a Unix socket (SEQPACKET) that the answering process listens on:
 *
 *     new ──── connects ─────────────────────────► old
 *         ◄─── {"version":1,"places":[…]} + descriptors
 *         ──── "answering" ──────────────────────►      stops reading
 *         ◄─── "left" ────                             ends; the new one listens on the Unix socket in its place
 */
import { chmodSync, lstatSync, rmSync } from 'node:fs'
import type { Clock } from '../../api/clock.ts'
import type { Logger } from '../../api/log.ts'
import { AF_UNIX, SOCK_NONBLOCK, SOCK_SEQPACKET, accept, bind, close, connectTo, listen, receiveDescriptors, send, sendDescriptors, socket, watchReadable } from '../../netlink/ffi.ts'
import type { OpenPlace, Place } from './sockets.ts'

const version = 1
const messageBytesMax = 16_384
/** The kernel passes 253 at a time (SCM_MAX_FD). */
const placesMax = 253
const answering = Buffer.from('answering')
const left = Buffer.from('left')
const pathBytesMax = 107
/** A process that says nothing for so long hangs. */
const answerMs = 5000

/** What the process before this one had open. */
export interface Inheritance {
  /** The socket of a place, once. */
  take(place: Place): OpenPlace | undefined
  /** Resolves when the process before has ended without waiting for us: nobody answers. */
  readonly orphaned: Promise<void>
  /** Says that we answer; resolves when the other reads no more. Sockets that were not taken are closed. */
  finish(): Promise<void>
}

/** Asks the process that answers now; undefined when there is none, or it hangs. */
export async function inherit(path: string, clock: Clock): Promise<Inheritance | undefined> {
  const fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0)
  try {
    connectTo(fd, nameOf(path), path)
  } catch (error) {
    close(fd)
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ECONNREFUSED') return undefined
    throw new Error(`Cannot take over at ${path}: ${(error as Error).message}`, { cause: error })
  }
  const talk = new Talk(fd)
  const first = await inTime(clock, talk.next())
  if (first === undefined) {
    talk.close()
    return undefined
  }
  return new Heir({ path, talk, clock }, first)
}

class Heir implements Inheritance {
  readonly orphaned: Promise<void>
  readonly #talk: Talk
  readonly #clock: Clock
  readonly #open = new Map<string, OpenPlace>()
  readonly #answer: Promise<Received | undefined>

  constructor({ path, talk, clock }: { readonly path: string; readonly talk: Talk; readonly clock: Clock }, { data, descriptors }: Received) {
    this.#talk = talk
    this.#clock = clock
    const read = JSON.parse(data.toString()) as { readonly version?: number; readonly places?: readonly Place[] }
    if (read.version !== version || read.places?.length !== descriptors.length) {
      for (const fd of descriptors) close(fd)
      talk.close()
      throw new Error(`Cannot take over at ${path}: the process there speaks another version; end it first`)
    }
    for (const [index, place] of read.places.entries()) this.#open.set(keyOf(place), { ...place, fd: descriptors[index] ?? -1 })
    this.#answer = talk.next()
    this.orphaned = this.#answer.then((answer) => {
      if (answer !== undefined) return new Promise<void>(() => undefined)
    })
  }

  take(place: Place): OpenPlace | undefined {
    const found = this.#open.get(keyOf(place))
    this.#open.delete(keyOf(place))
    return found
  }

  async finish(): Promise<void> {
    this.#talk.say(answering)
    await inTime(this.#clock, this.#answer)
    this.#talk.close()
    for (const { fd } of this.#open.values()) close(fd)
    this.#open.clear()
  }
}

/** What comes within some seconds. */
async function inTime<T>(clock: Clock, coming: Promise<T | undefined>): Promise<T | undefined> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>()
  const timer = clock.setTimeout(() => resolve(undefined), answerMs)
  try {
    return await Promise.race([coming, late])
  } finally {
    timer.cancel()
  }
}

/** Offers the sockets of this process to the one that comes after it; `onTaken` is to stop the reading. Throws when the path cannot be had. */
export function offer(path: string, places: readonly OpenPlace[], { onTaken, log }: { readonly onTaken: () => void; readonly log: Logger }): { close(): void } {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() === false) throw new Error(`Cannot offer to hand over at ${path}: what is there is no socket, and is not removed`)
  rmSync(path, { force: true })
  const fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0)
  const talks = new Set<Talk>()
  let taken = false
  try {
    bind(fd, nameOf(path))
    chmodSync(path, 0o600)
    listen(fd, 8)
  } catch (error) {
    close(fd)
    throw new Error(`Cannot offer to hand over at ${path}: ${(error as Error).message}`, { cause: error })
  }
  const serve = async (talk: Talk): Promise<void> => {
    talks.add(talk)
    try {
      talk.give(Buffer.from(JSON.stringify({ version, places: places.map(({ kind, address, port }) => ({ kind, address, port })) })), places.map((place) => place.fd))
      const answer = await talk.next()
      if (answer?.data.equals(answering) !== true || taken) return
      taken = true
      onTaken()
      talk.say(left)
    } catch (error) {
      log.warn('handing over failed', { error })
    } finally {
      talk.close()
      talks.delete(talk)
    }
  }
  const watch = watchReadable(fd, () => {
    for (let one = accept(fd); one !== undefined; one = accept(fd)) void serve(new Talk(one))
  })
  let open = true
  return {
    close() {
      if (!open) return
      open = false
      watch.close()
      close(fd)
      for (const talk of talks) talk.close()
      // Who has taken over listens at the path itself.
      if (!taken) rmSync(path, { force: true })
    },
  }
}

interface Received {
  readonly data: Buffer
  readonly descriptors: readonly number[]
}

/** One end of a conversation. */
class Talk {
  readonly #fd: number
  readonly #watch: { close(): void }
  readonly #messages: (Received | undefined)[] = []
  #wake: (() => void) | undefined
  #open = true

  constructor(fd: number) {
    this.#fd = fd
    this.#watch = watchReadable(fd, () => this.#read())
  }

  /** The next message; undefined when the other side is gone. */
  async next(): Promise<Received | undefined> {
    while (this.#messages.length === 0 && this.#open) await new Promise<void>((resolve) => (this.#wake = resolve))
    return this.#messages.shift()
  }

  say(data: Uint8Array): void {
    if (!this.#open) return
    try {
      send(this.#fd, data)
    } catch {
      // That the other side has ended is read as well.
    }
  }

  give(data: Uint8Array, descriptors: readonly number[]): void {
    if (descriptors.length > placesMax || data.length > messageBytesMax) throw new Error(`Cannot hand over ${descriptors.length} sockets: ${placesMax} are the most`)
    sendDescriptors(this.#fd, data, descriptors)
  }

  close(): void {
    if (!this.#open) return
    this.#open = false
    this.#watch.close()
    close(this.#fd)
    this.#wake?.()
  }

  #read(): void {
    if (!this.#open) return
    let received: Received | undefined
    try {
      received = receiveDescriptors(this.#fd, messageBytesMax, placesMax)
    } catch {
      // A reset: the other side has ended.
      received = { data: Buffer.alloc(0), descriptors: [] }
    }
    if (received === undefined) return
    this.#messages.push(received.data.length === 0 ? undefined : received)
    if (received.data.length === 0) this.close()
    this.#wake?.()
  }
}

function keyOf({ kind, address, port }: Place): string {
  return `${kind} ${address} ${port}`
}

/** struct sockaddr_un (include/uapi/linux/un.h). */
function nameOf(path: string): Buffer {
  const bytes = Buffer.from(path)
  if (bytes.length > pathBytesMax) throw new Error(`Cannot hand over at ${path}: the path of a Unix socket has at most ${pathBytesMax} bytes`)
  return Buffer.concat([Buffer.from([AF_UNIX, 0]), bytes, Buffer.from([0])])
}
