/**
 * Bytes of many small answers in a few large buffers: a `Buffer` of its own for each would cost more than the answer. Bounded; the oldest buffer is
 * used again when all are full, and who has bytes in it is told.
 */
export interface Piece {
  readonly chunk: Chunk
  readonly at: number
}

export interface Chunk {
  readonly bytes: Buffer
  used: number
  /** What its pieces are found by. */
  readonly keys: number[]
}

/** Four of the longest messages. */
const chunkBytes = 256 * 1024

export class Slab {
  readonly #chunksMax: number
  readonly #onReuse: (chunk: Chunk) => void
  /** The oldest first. */
  readonly #chunks: Chunk[] = []

  constructor(bytesMax: number, onReuse: (chunk: Chunk) => void) {
    this.#chunksMax = Math.max(1, Math.floor(bytesMax / chunkBytes))
    this.#onReuse = onReuse
  }

  get bytes(): number {
    return this.#chunks.length * chunkBytes
  }

  /** Room for so many bytes, at most 64 KiB. */
  take(size: number, key: number): Piece {
    const last = this.#chunks.at(-1)
    const chunk = last !== undefined && last.used + size <= chunkBytes ? last : this.#next()
    const at = chunk.used
    chunk.used += size
    chunk.keys.push(key)
    return { chunk, at }
  }

  clear(): void {
    this.#chunks.length = 0
  }

  #next(): Chunk {
    const oldest = this.#chunks.length < this.#chunksMax ? undefined : this.#chunks.shift()
    if (oldest !== undefined) this.#onReuse(oldest)
    // Not of the pool that small buffers share: it would be kept whole.
    const chunk = { bytes: oldest?.bytes ?? Buffer.allocUnsafeSlow(chunkBytes), used: 0, keys: [] }
    this.#chunks.push(chunk)
    return chunk
  }
}
