// What is noted about a request on its way, for the audit log: who warned of it, which policies it failed.
import type { HttpRequest } from './http.ts'

/** By what stays the same when a request is passed on in pieces. */
const notes = new WeakMap<AbortSignal, Map<string, string>>()

/** The first note under a key counts. */
export function annotate({ signal }: Pick<HttpRequest, 'signal'>, key: string, value: string): void {
  const own = notes.get(signal) ?? new Map<string, string>()
  if (!own.has(key)) own.set(key, value)
  notes.set(signal, own)
}

export function annotationsOf({ signal }: Pick<HttpRequest, 'signal'>): Readonly<Record<string, string>> | undefined {
  const own = notes.get(signal)
  return own === undefined ? undefined : Object.fromEntries(own)
}
