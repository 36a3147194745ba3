/** `GET /containerLogs/NAMESPACE/POD/CONTAINER`: what a container wrote, whole or in part, and as it writes it. */
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { ContainerRuntime, LogOptions } from '../runtime/runtime.ts'
import { RequestError } from './pod-lookup.ts'

export interface LogQuery {
  readonly options: Omit<LogOptions, 'signal'>
  readonly previous: boolean
  readonly limitBytes: number
}

function numberOf(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name)
  if (text === null || text === '') return undefined
  const number = Number(text)
  if (!Number.isInteger(number) || number < 0) throw new RequestError(400, 'BadRequest', `${name}: ${JSON.stringify(text)} is not a whole number from 0`)
  return number
}

function isSet(query: URLSearchParams, name: string): boolean {
  return ['true', '1'].includes(query.get(name) ?? '')
}

/** Kubernetes' PodLogOptions as they stand in the query. */
export function parseLogQuery(query: URLSearchParams, nowMs: number): LogQuery {
  const tailLines = numberOf(query, 'tailLines')
  const sinceSeconds = numberOf(query, 'sinceSeconds')
  const sinceTime = query.get('sinceTime')
  const sinceMs = sinceSeconds !== undefined ? nowMs - sinceSeconds * 1000 : sinceTime === null || sinceTime === '' ? undefined : Date.parse(sinceTime)
  if (Number.isNaN(sinceMs)) throw new RequestError(400, 'BadRequest', `sinceTime: ${JSON.stringify(sinceTime)} is not a time as RFC 3339 writes it`)
  return {
    previous: isSet(query, 'previous'),
    limitBytes: numberOf(query, 'limitBytes') ?? Infinity,
    options: {
      follow: isSet(query, 'follow'), timestamps: isSet(query, 'timestamps'),
      ...(tailLines === undefined ? {} : { tailLines }),
      ...(sinceMs === undefined ? {} : { sinceMs }),
    },
  }
}

/** Ends when the log does, when the limit is reached, or when the client leaves. */
export async function writeLogs(runtime: ContainerRuntime, containerId: string, { options, limitBytes }: LogQuery, response: ServerResponse): Promise<void> {
  const abort = new AbortController()
  response.on('close', () => abort.abort(new Error('the client has left')))
  let left = limitBytes
  response.writeHead(200, { 'content-type': 'text/plain' })
  // So that one who follows knows at once that it will be told.
  response.flushHeaders()
  for await (const { data } of runtime.logs(containerId, { ...options, signal: abort.signal })) {
    const part = data.length > left ? data.subarray(0, left) : data
    left -= part.length
    if (!response.write(part) && !abort.signal.aborted) await Promise.race([once(response, 'drain'), once(response, 'close')])
    if (left <= 0 || abort.signal.aborted) break
  }
  response.end()
}
