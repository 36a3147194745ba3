/** A running part of the system: every part's `startX(options)` resolves to one when it serves. */
export interface Component {
  /** Ends it cleanly; resolves when nothing of it runs any more. May be called twice. */
  stop(): Promise<void>
  /** Resolves after `stop`; rejects when the part ends by itself, with the reason. */
  readonly done: Promise<void>
}
