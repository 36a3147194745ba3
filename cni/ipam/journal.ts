/**
 * The journal on disk: a line for each address taken or freed. Whoever changes it holds the lock of its folder, which the kernel takes back when
 * the holder dies; a line cut off by that is dropped by the next. Nothing is forced to the disk but rewrites: a machine that lost power has lost its
 * containers as well.
 */
import { accessSync, closeSync, constants, existsSync, fstatSync, fsyncSync, ftruncateSync, openSync, readFileSync, readSync, readdirSync, renameSync, statSync, writeSync } from 'node:fs'
import type { Stats } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { tryLock } from '../../netlink/ffi.ts'
import { makeFolder } from '../folder.ts'
import { CniError } from '../protocol/error.ts'
import { decodeEntry, encodeEntry } from './entry.ts'
import type { Entry } from './entry.ts'
import { Ledger } from './ledger.ts'

const version = 1
const header = `${JSON.stringify({ journal: 'fairway-ipam', version })}\n`
/** Lines that say nothing any more are dropped once there are this many more than needed. */
const staleLinesMax = 1000
const lockTimeoutMs = 20_000

/** The networks that have a journal below `dataDir`. */
export function journalNames(dataDir: string): string[] {
  const folder = join(dataDir, 'ipam')
  return existsSync(folder) ? readdirSync(folder).filter((name) => existsSync(join(folder, name, 'journal'))).sort() : []
}

/** A line in the middle cannot be read: who holds what is not wholly known. */
class DamagedJournal extends CniError {}

/** The journal of one network. Several processes may have it open; each reads what the others have written. */
export class Journal {
  readonly #folder: string
  #ledger = new Ledger()
  /** Which file the ledger was read from, and how far. A file's number may be used again by a later one. */
  #identity = ''
  #offset = 0
  #lines = 0

  /** `network` is a checked name: it becomes a folder. */
  constructor(dataDir: string, network: string) {
    this.#folder = join(dataDir, 'ipam', network)
  }

  get #file(): string {
    return join(this.#folder, 'journal')
  }

  /** The ledger as it is on disk now, without waiting for writers. */
  read(): Ledger {
    if (!existsSync(this.#file)) return new Ledger()
    const fd = openSync(this.#file, 'r')
    try {
      this.#refresh(fd)
    } finally {
      closeSync(fd)
    }
    return this.#ledger
  }

  /** Throws where nothing could be written, without making anything: a file in the way, a disk that is read only. */
  checkWritable(): void {
    let place = this.#folder
    while (!existsSync(place)) place = dirname(place)
    if (!statSync(place).isDirectory()) throw new CniError('ioFailure', `Cannot write ${this.#file}: ${place} is no folder`)
    accessSync(place, constants.W_OK)
  }

  /** Lets `decide` see the ledger while nobody else can change it, then writes what it decided. If it throws, nothing is written. */
  update<T>(decide: (ledger: Ledger) => { readonly entries: readonly Entry[]; readonly value: T }): Promise<T> {
    return this.#locked((fd) => {
      this.#refresh(fd)
      const { entries, value } = decide(this.#ledger)
      this.#append(fd, entries)
      return value
    })
  }

  /** Frees what these hold: also where a line is damaged, after which nobody is given anything, so that containers can go. */
  async free(choose: (ledger: Ledger) => readonly Entry[]): Promise<void> {
    await this.#locked((fd) => {
      try {
        this.#refresh(fd)
      } catch (error) {
        if (!(error instanceof DamagedJournal)) throw error
        const text = readFileSync(this.#file, 'utf8')
        const ledger = new Ledger()
        for (const line of text.split('\n')) {
          const entry = decodeEntry(line)
          if (entry !== undefined) ledger.apply(entry)
        }
        const lines = choose(ledger).map(encodeEntry).join('')
        if (lines !== '') writeSync(fd, `${text.endsWith('\n') ? '' : '\n'}${lines}`)
        return
      }
      this.#append(fd, choose(this.#ledger))
    })
  }

  async #locked<T>(act: (fd: number) => T): Promise<T> {
    makeFolder(this.#folder, 0o700)
    const lock = openSync(join(this.#folder, 'lock'), 'a', 0o600)
    try {
      await this.#lock(lock)
      const fd = openSync(this.#file, 'a+', 0o600)
      try {
        return act(fd)
      } finally {
        closeSync(fd)
      }
    } finally {
      closeSync(lock)
    }
  }

  async #lock(fd: number): Promise<void> {
    const deadline = performance.now() + lockTimeoutMs
    for (let waitMs = 1; !tryLock(fd); waitMs = Math.min(waitMs * 2, 20)) {
      if (performance.now() > deadline) throw new CniError('tryAgainLater', `Cannot lock ${this.#folder}: another process has held it for ${lockTimeoutMs / 1000} s`)
      await sleep(waitMs)
    }
  }

  /** Reads on from where we were, or anew where the file is another. */
  #refresh(fd: number): void {
    const stats = fstatSync(fd)
    const { size } = stats
    if (identityOf(stats) !== this.#identity || size < this.#offset) {
      this.#ledger = new Ledger()
      this.#identity = identityOf(stats)
      this.#offset = 0
      this.#lines = 0
    }
    if (size === this.#offset) return
    const data = Buffer.alloc(size - this.#offset)
    const length = readSync(fd, data, 0, data.length, this.#offset)
    this.#readLines(data.subarray(0, length))
  }

  #readLines(data: Buffer): void {
    let start = 0
    for (let end = data.indexOf(10); end >= 0; end = data.indexOf(10, start)) {
      const line = data.toString('utf8', start, end)
      // What a crash cut off has no end, unless the file system filled it up: then nothing readable comes behind it.
      if (!this.#readLine(line)) {
        if (/"(?:take|free)"/.test(data.toString('utf8', end + 1))) throw new DamagedJournal('ioFailure', `Cannot read ${this.#file}: line ${this.#lines + 1} is corrupt (${JSON.stringify(line.slice(0, 80))}); with no containers running it can be removed`)
        return
      }
      this.#lines++
      this.#offset += end + 1 - start
      start = end + 1
    }
  }

  #readLine(line: string): boolean {
    if (this.#lines === 0) return this.#checkHeader(line)
    const entry = decodeEntry(line)
    if (entry === undefined) return false
    this.#ledger.apply(entry)
    return true
  }

  #checkHeader(line: string): boolean {
    if (`${line}\n` === header) return true
    const found = /^\{"journal":"fairway-ipam","version":(\d+)/.exec(line)
    if (found !== null) throw new CniError('ioFailure', `Cannot read ${this.#file}: it is of version ${found[1]}, and this plugin knows version ${version}; use the plugin that wrote it`)
    return false
  }

  #append(fd: number, entries: readonly Entry[]): void {
    if (entries.length === 0) return
    // a cut-off line
    if (fstatSync(fd).size > this.#offset) ftruncateSync(fd, this.#offset)
    const text = (this.#offset === 0 ? header : '') + entries.map(encodeEntry).join('')
    const data = Buffer.from(text)
    const written = writeSync(fd, data)
    if (written < data.length) {
      ftruncateSync(fd, this.#offset)
      throw new CniError('ioFailure', `Cannot write ${this.#file}: the disk took ${written} of ${data.length} bytes`)
    }
    this.#lines += entries.length + (this.#offset === 0 ? 1 : 0)
    this.#offset += data.length
    for (const entry of entries) this.#ledger.apply(entry)
    this.#compact()
  }

  #compact(): void {
    const entries = this.#ledger.entries()
    if (this.#lines < entries.length * 2 + staleLinesMax) return
    const data = Buffer.from(header + entries.map(encodeEntry).join(''))
    const fd = openSync(`${this.#file}.new`, 'w', 0o600)
    try {
      writeSync(fd, data)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    renameSync(`${this.#file}.new`, this.#file)
    this.#identity = identityOf(statSync(this.#file))
    this.#offset = data.length
    this.#lines = entries.length + 1
  }
}

function identityOf({ ino, birthtimeMs }: Stats): string {
  return `${ino} ${birthtimeMs}`
}
