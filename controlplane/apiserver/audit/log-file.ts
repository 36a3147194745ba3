// The file of the audit log: lines are appended together, and a file that is full steps aside under its time, as kube-apiserver's --audit-log-* flags have it.
import { closeSync, existsSync, openSync, readdirSync, renameSync, rmSync, statSync, writeSync } from 'node:fs'
import { basename, dirname, extname, join } from 'node:path'
import type { Clock } from '../../../api/clock.ts'
import type { Logger } from '../../../api/log.ts'

export interface LogFileOptions {
  /** `-`: standard output. */
  readonly path: string
  /** In MiB; default 100. */
  readonly maxSize?: number
  /** How many older files are kept; default 10, 0: all. */
  readonly maxBackup?: number
  /** For how many days older files are kept; default and 0: as long as there is room for them. */
  readonly maxAge?: number
}

/** Lines are written together, and never later than this. */
const flushMs = 100
const dayMs = 86_400_000

export class LogFile {
  readonly #options: LogFileOptions
  readonly #clock: Clock
  readonly #log: Logger
  #file: number
  #bytes = 0
  #lines: string[] = []
  #isClosed = false

  constructor(options: LogFileOptions, clock: Clock, log: Logger) {
    this.#options = options
    this.#clock = clock
    this.#log = log
    this.#file = this.#open()
  }

  append(line: string): void {
    if (this.#isClosed) return
    this.#lines.push(line)
    if (this.#lines.length === 1) this.#clock.setTimeout(() => this.flush(), flushMs)
  }

  close(): void {
    this.flush()
    this.#isClosed = true
    if (this.#file > 2) closeSync(this.#file)
  }

  flush(): void {
    if (this.#lines.length === 0) return
    const text = Buffer.from(`${this.#lines.join('\n')}\n`)
    this.#lines = []
    const { path, maxSize = 100 } = this.#options
    try {
      if (this.#bytes > 0 && this.#bytes + text.length > maxSize * 2 ** 20) this.#rotate()
    } catch (error) {
      this.#log.error('the audit log cannot step aside and grows on', { path, error })
    }
    try {
      writeSync(this.#file, text)
      this.#bytes += text.length
    } catch (error) {
      this.#log.error('the audit log cannot be written', { path, error })
    }
  }

  #open(): number {
    const { path } = this.#options
    if (path === '-') return 1
    const file = openSync(path, 'a', 0o600)
    this.#bytes = statSync(path).size
    return file
  }

  /** `audit.log` becomes `audit-2026-11-24T11-42-15.123.log`. */
  #rotate(): void {
    const { path, maxBackup = 10, maxAge = 0 } = this.#options
    if (path === '-') return
    const ending = extname(path)
    const start = `${basename(path, ending)}-`
    const aside = join(dirname(path), `${start}${new Date(this.#clock.now()).toISOString().replaceAll(':', '-').replace('Z', '')}${ending}`)
    // Somebody else may have moved it away already.
    if (existsSync(path)) renameSync(path, aside)
    // Closed only when there is another: a number that is closed may be another file's the next moment.
    const full = this.#file
    this.#file = this.#open()
    closeSync(full)
    const older = readdirSync(dirname(path)).filter((name) => name.startsWith(start) && name.endsWith(ending) && /^\d{4}-\d\d-\d\dT[\d.-]+$/.test(name.slice(start.length, name.length - ending.length)))
    for (const [age, name] of older.sort().toReversed().entries()) {
      const file = join(dirname(path), name)
      if ((maxBackup > 0 && age >= maxBackup) || (maxAge > 0 && statSync(file).mtimeMs < this.#clock.now() - maxAge * dayMs)) rmSync(file, { force: true })
    }
  }
}
