/** What a rendered answer rests on: while it holds, the answer may be sent again. */
export interface Basis {
  readonly live: boolean
  /** Told of every time an answer is sent again that rests on it. */
  used?(): void
}

/** Whoever changes what it stands for ends it, and the answer is rendered anew when asked for next. */
export class Validity implements Basis {
  live = true

  end(): void {
    this.live = false
  }
}
