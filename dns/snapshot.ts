/**
 * What is known of the cluster, on disk: a server that starts again serves at once, before the API server has answered. Lines: format and version, then what
 * it is of, then one object each, then a checksum of them all. Written and read in pieces, so that nobody who asks meanwhile waits for all of it. Written beside and
 * renamed, so that there is the old one or the new one. Nothing waits for the disk: what a loss of power leaves half written is told by the checksum, and what cannot be read is as
 * if it was not there; while a flush every few seconds on every host would hold up the API server's own.
 */
import { createHash } from 'node:crypto'
import { open, rename } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import type { KubeObject } from '../api/types.ts'
import type { Kind } from './zone/kept.ts'

const format = 'fairway-dns-snapshot'
/** Of what the lines and the objects mean. Another version is not read. */
const version = 2
/** 50,000 services are about 30 MB. */
const bytesMax = 256 * 1024 * 1024
const endWord = 'end '
/** What is written or read at once: about a tenth of a millisecond's work. */
const pieceBytes = 32 * 1024

export interface Snapshot {
  readonly zone: string
  /** Milliseconds since the epoch when all of it was current. */
  readonly currentAt: number
  readonly objects: Partial<Readonly<Record<Kind, readonly KubeObject[]>>>
}

/** Writes a snapshot in place of the one before. Questions are answered between any two pieces of it. */
export async function saveSnapshot(file: string, snapshot: Snapshot): Promise<void> {
  const written = `${file}.new`
  const handle = await open(written, 'w', 0o600)
  try {
    const hash = createHash('sha256')
    let bytes = 0
    for (const piece of pieces(snapshot)) {
      const data = Buffer.from(piece)
      bytes += data.length
      if (bytes > bytesMax) throw new Error(`Cannot save the snapshot: it has more than ${bytesMax} bytes`)
      hash.update(data)
      await handle.writeFile(data)
    }
    await handle.writeFile(`${endWord}${hash.digest('hex')}\n`)
  } finally {
    await handle.close()
  }
  await rename(written, file)
}

function * pieces({ zone, currentAt, objects }: Snapshot): Generator<string> {
  let piece = `${format} ${version}\n${JSON.stringify({ zone, currentAt, kinds: Object.keys(objects) })}\n`
  for (const [kind, list] of Object.entries(objects)) {
    for (const object of list) {
      piece += `${kind} ${JSON.stringify(object)}\n`
      if (piece.length < pieceBytes) continue
      yield piece
      piece = ''
    }
  }
  yield piece
}

/** Reads a snapshot. Throws a sentence when there is one that cannot be used; undefined when there is none. */
export async function loadSnapshot(file: string, zone: string, kinds: readonly Kind[]): Promise<Snapshot | undefined> {
  let handle: FileHandle
  try {
    handle = await open(file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  try {
    if ((await handle.stat()).size > bytesMax) throw new Error(`it is larger than ${bytesMax} bytes`)
    const hash = createHash('sha256')
    const reading = new Reading(zone, kinds)
    for await (const piece of wholeLines(handle)) {
      const lines = piece.toString().split('\n')
      // Behind the last end of a line there is nothing.
      lines.pop()
      const last = lines.at(-1) ?? ''
      hash.update(last.startsWith(endWord) ? piece.subarray(0, -last.length - 1) : piece)
      for (const line of lines) if (reading.take(line)) return reading.snapshot(hash.digest('hex'))
    }
    return reading.snapshot('')
  } catch (error) {
    throw new Error(`Cannot use the snapshot ${file}: ${(error as Error).message}`, { cause: error })
  } finally {
    await handle.close()
  }
}

/** Pieces that end where a line does. */
async function* wholeLines(handle: FileHandle): AsyncGenerator<Buffer> {
  const buffer = Buffer.allocUnsafeSlow(pieceBytes)
  let rest: Buffer[] = []
  for (;;) {
    const { bytesRead } = await handle.read(buffer, 0, pieceBytes)
    if (bytesRead === 0) return
    const read = buffer.subarray(0, bytesRead)
    const end = read.lastIndexOf(10) + 1
    if (end > 0) yield Buffer.concat([...rest, read.subarray(0, end)])
    rest = [...(end > 0 ? [] : rest), Buffer.from(read.subarray(end))]
  }
}

/** What the lines so far said; throws why the snapshot is of no use. */
class Reading {
  readonly #zone: string
  readonly #objects: Map<string, KubeObject[]>
  #line = 0
  #currentAt = 0
  #sum: string | undefined

  constructor(zone: string, kinds: readonly Kind[]) {
    this.#zone = zone
    this.#objects = new Map(kinds.map((kind) => [kind, []]))
  }

  /** Whether it was the last one. */
  take(line: string): boolean {
    this.#line += 1
    const space = line.indexOf(' ')
    const first = line.slice(0, space)
    const text = line.slice(space + 1)
    if (this.#line === 1) this.#begin(first, text)
    else if (this.#line === 2) this.#head(line)
    else if (line.startsWith(endWord)) this.#sum = text
    else this.#objects.get(first)?.push(objectOf(first, text))
    return this.#sum !== undefined
  }

  snapshot(sum: string): Snapshot {
    if (this.#line === 0) throw new Error('it is none')
    if (this.#sum === undefined || this.#sum !== sum) throw new Error('it is damaged')
    return { zone: this.#zone, currentAt: this.#currentAt, objects: Object.fromEntries(this.#objects) }
  }

  #begin(name: string, number: string): void {
    if (name !== format) throw new Error('it is none')
    if (number !== String(version)) throw new Error(`it has version ${number.split(' ')[0]}, not ${version}`)
  }

  #head(line: string): void {
    const { zone, currentAt, kinds } = parsed(line) as { readonly zone?: unknown; readonly currentAt?: unknown; readonly kinds?: unknown }
    if (zone !== this.#zone) throw new Error(`it is of zone ${String(zone)}`)
    if (!Array.isArray(kinds) || ![...this.#objects.keys()].every((kind) => kinds.includes(kind))) throw new Error(`it lacks some of ${[...this.#objects.keys()].join(', ')}`)
    if (typeof currentAt !== 'number') throw new Error('it does not say how old it is')
    this.#currentAt = currentAt
  }
}

function objectOf(kind: string, text: string): KubeObject {
  const object = parsed(text) as Partial<KubeObject> & { readonly spec?: unknown }
  if (typeof object.metadata?.name !== 'string' || (kind === 'services' && typeof object.spec !== 'object')) throw new Error(`there are ${kind} in it that are none`)
  return object as KubeObject
}

function parsed(text: string): object {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) return value
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  throw new Error('it is damaged')
}
