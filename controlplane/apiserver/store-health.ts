// Whether the store that is shared with other servers still answers us: where it does not, somebody else is to be asked (`/readyz`).
import type { Clock, Timer } from '../../api/clock.ts'
import type { Store } from '../store/index.ts'

const everyMs = 2000
/** Longer than a new leader of etcd takes to be elected, shorter than people wait. */
const patienceMs = 3000

export interface StoreHealth {
  /** What is wrong; undefined: nothing. */
  readonly trouble: string | undefined
  stop(): void
}

/** Asks the store again and again; of one that is ours alone there is nothing to ask. */
export function watchStoreHealth(store: Store, clock: Clock): StoreHealth {
  let trouble: string | undefined
  let timer: Timer | undefined
  let isStopped = false
  const ask = async (): Promise<void> => {
    const late = clock.setTimeout(() => (trouble = `the store has not answered for ${patienceMs / 1000} s`), patienceMs)
    try {
      await store.currentRevision()
      trouble = undefined
    } catch (error) {
      trouble = (error as Error).message
    }
    late.cancel()
    if (!isStopped) timer = clock.setTimeout(() => void ask(), everyMs)
  }
  if (store.isShared) void ask()
  return {
    get trouble() {
      return trouble
    },
    stop: () => {
      isStopped = true
      timer?.cancel()
    },
  }
}
