// The live half of a watch, shared by the stores that live in this process.
import type { Change, StoreError, StoreWatch, WatchOptions } from './store.ts'

interface Watcher {
  readonly prefix: string
  readonly options: WatchOptions
}

/** Who listens to which prefix. Delivery is synchronous, so there is nothing to buffer and nothing to lose. */
export class Watchers {
  readonly #watchers = new Set<Watcher>()

  /** Registers a watcher and hands it what happened before; both in one turn of the loop, so without a gap. */
  add(prefix: string, options: WatchOptions, history: readonly Change[]): StoreWatch {
    const watcher = { prefix, options }
    this.#watchers.add(watcher)
    if (history.length > 0) options.onChanges(history)
    return { close: () => void this.#watchers.delete(watcher) }
  }

  deliver(changes: readonly Change[]): void {
    for (const { prefix, options } of Array.from(this.#watchers)) {
      const mine = changes.filter((change) => change.key.startsWith(prefix))
      if (mine.length > 0) options.onChanges(mine)
    }
  }

  end(error: StoreError): void {
    const all = [...this.#watchers]
    this.#watchers.clear()
    for (const { options } of all) options.onEnd(error)
  }
}
