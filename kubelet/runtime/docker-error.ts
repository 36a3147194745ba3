/** Errors of the Docker Engine API, said in the kubelet's way. */
import { RuntimeNotFoundError } from './runtime.ts'

interface EngineError {
  readonly statusCode?: number
  readonly json?: { readonly message?: string } | null
  readonly message?: string
}

/** The engine's HTTP status of a failed call; undefined when the engine was not reached. */
export function statusOf(error: unknown): number | undefined {
  return (error as EngineError | undefined)?.statusCode
}

function wordsOf(error: unknown): string {
  const { json, message } = (error ?? {}) as EngineError
  const words = json?.message ?? message ?? String(error)
  return words.replace(/^\(HTTP code \d+\) [a-z ]+ - /, '').trim()
}

/** Runs one call; its failure says what could not be done, to what, and why. */
export async function engineCall<T>(operation: string, object: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (error) {
    const message = `Cannot ${operation} ${object}: ${wordsOf(error)}`
    const missing = statusOf(error) === 404 && /no such (container|image|exec)/i.test(wordsOf(error))
    throw missing ? new RuntimeNotFoundError(message, { cause: error }) : new Error(message, { cause: error })
  }
}

/** As `engineCall`, but what is not there (404) or already so (304, removal under way) is success. */
export async function engineCallIdempotent(operation: string, object: string, call: () => Promise<unknown>): Promise<void> {
  try {
    await engineCall(operation, object, call)
  } catch (error) {
    const cause = (error as Error).cause
    const status = statusOf(cause)
    const done = status === 304 || status === 404 || (status === 409 && /already in progress|is not running/.test(wordsOf(cause)))
    if (!done) throw error
  }
}
