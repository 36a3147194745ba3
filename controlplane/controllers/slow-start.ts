/** Doing many things at once, few at first: what is refused once (a quota, a bad template) is not asked a hundred times more. */

export interface Progress {
  readonly done: number
  /** The first failure; nothing was begun after it. */
  readonly error?: unknown
}

/** Runs `work` for each item in batches of 1, 2, 4, … (replica_set.go slowStartBatch). */
export async function slowStart<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<Progress> {
  let done = 0
  for (let batch = 1; done < items.length; batch *= 2) {
    const results = await Promise.allSettled(items.slice(done, done + batch).map(work))
    done += results.filter(({ status }) => status === 'fulfilled').length
    const failed = results.find((result) => result.status === 'rejected')
    if (failed !== undefined) return { done, error: failed.reason }
  }
  return { done }
}
