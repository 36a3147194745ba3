/** What `up` is doing, with the time of each step: live lines on a terminal, one line per finished step otherwise. */
import type { Writable } from 'node:stream'

export interface Terminal extends Writable {
  readonly isTTY?: boolean
}

interface Step {
  readonly name: string
  readonly startedMs: number
  state: 'running' | 'done' | 'failed'
  endedMs: number
  detail: string
}

/** Changes what a running step says about itself. */
export type Detail = (text: string) => void

const redrawMs = 100
const spinner = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']

export class Progress implements Disposable {
  readonly #out: Terminal
  readonly #nowMs: () => number
  readonly #steps: Step[] = []
  #drawn = 0
  #frame = 0
  #timer: NodeJS.Timeout | undefined

  constructor(out: Terminal, nowMs: () => number) {
    this.#out = out
    this.#nowMs = nowMs
  }

  /** Runs a step. Several may run at once. */
  async step<T>(name: string, run: (detail: Detail) => Promise<T>): Promise<T> {
    const step: Step = { name, startedMs: this.#nowMs(), state: 'running', endedMs: 0, detail: '' }
    this.#steps.push(step)
    this.#draw()
    try {
      const result = await run((text) => {
        step.detail = text
      })
      this.#end(step, 'done')
      return result
    } catch (error) {
      this.#end(step, 'failed')
      throw error
    }
  }

  /** Leaves the lines as they are. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    if (this.#live) this.#redraw()
  }

  get #live(): boolean {
    return this.#out.isTTY === true
  }

  #end(step: Step, state: 'done' | 'failed'): void {
    step.state = state
    step.endedMs = this.#nowMs()
    if (this.#live) this.#redraw()
    else this.#out.write(`${this.#line(step)}\n`)
  }

  #draw(): void {
    if (!this.#live) return
    this.#redraw()
    this.#timer ??= setInterval(() => {
      this.#frame += 1
      this.#redraw()
    }, redrawMs).unref()
  }

  #redraw(): void {
    const up = this.#drawn === 0 ? '' : `\u001B[${this.#drawn}A`
    this.#out.write(`${up}${this.#steps.map((step) => `\u001B[2K${this.#line(step)}\n`).join('')}`)
    this.#drawn = this.#steps.length
  }

  #line({ name, state, startedMs, endedMs, detail }: Step): string {
    const mark = state === 'done' ? '✓' : state === 'failed' ? '✗' : (spinner[this.#frame % spinner.length] ?? '')
    const seconds = (((state === 'running' ? this.#nowMs() : endedMs) - startedMs) / 1000).toFixed(1)
    return ` ${mark} ${name}${detail === '' ? '' : ` ${detail}`} (${seconds} s)`
  }
}
