/** Runs what probes and lifecycle hooks consist of: a command, an HTTP request, a TCP connection, a gRPC health check. */
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { connect } from 'node:net'
import type { Clock } from '../../api/clock.ts'
import type { Container, HTTPGetAction, IntOrString, LifecycleHandler, ProbeHandler } from '../../api/types.ts'
import { ExecTimeoutError } from '../runtime/runtime.ts'
import type { ContainerRuntime } from '../runtime/runtime.ts'
import { checkGrpcHealth } from './grpc-health.ts'

export interface HandlerTarget {
  readonly containerId: string
  readonly container: Container
  readonly podIP: string
}

export interface HandlerHost {
  readonly runtime: Pick<ContainerRuntime, 'execSync'>
  readonly clock: Clock
}

export interface HandlerResult {
  readonly ok: boolean
  /** What was seen, for the event. */
  readonly output: string
}

const outputCharactersMax = 1024

/** A port by number, or by the name that the container gives it. */
export function portOf(port: IntOrString, container: Container): number {
  const number = typeof port === 'number' ? port : (container.ports?.find(({ name }) => name === port)?.containerPort ?? Number(port))
  if (!Number.isInteger(number) || number < 1 || number > 65_535) throw new Error(`couldn't find port: ${JSON.stringify(port)}`)
  return number
}

/** Never rejects for what the target did: that is a result. */
export async function runHandler(handler: ProbeHandler & Pick<LifecycleHandler, 'sleep'>, target: HandlerTarget, timeoutMs: number, host: HandlerHost): Promise<HandlerResult> {
  const { exec, httpGet, tcpSocket, grpc, sleep } = handler
  try {
    if (exec !== undefined) return await runCommand(exec.command, target, timeoutMs, host)
    if (sleep !== undefined) {
      await host.clock.sleep(sleep.seconds * 1000)
      return { ok: true, output: '' }
    }
    const { signal, done } = timeLimit(host.clock, timeoutMs)
    try {
      if (httpGet !== undefined) return await getOverHttp(httpGet, target, signal)
      if (tcpSocket !== undefined) return await connectTo(tcpSocket.host || target.podIP, portOf(tcpSocket.port, target.container), signal)
      if (grpc !== undefined) return await checkGrpcHealth({ host: target.podIP, port: grpc.port, service: grpc.service ?? '' }, signal)
    } finally {
      done()
    }
    return { ok: false, output: 'missing probe handler' }
  } catch (error) {
    return { ok: false, output: (error as Error).message }
  }
}

function timeLimit(clock: Clock, ms: number): { readonly signal: AbortSignal; readonly done: () => void } {
  const abort = new AbortController()
  const timer = clock.setTimeout(() => abort.abort(new Error(`no answer within ${ms / 1000} s`)), ms)
  return { signal: abort.signal, done: () => timer.cancel() }
}

async function runCommand(command: readonly string[], { containerId }: HandlerTarget, timeoutMs: number, { runtime }: HandlerHost): Promise<HandlerResult> {
  try {
    const { exitCode, stdout, stderr } = await runtime.execSync(containerId, command, timeoutMs)
    return { ok: exitCode === 0, output: Buffer.concat([stdout, stderr]).toString().slice(0, outputCharactersMax) }
  } catch (error) {
    if (error instanceof ExecTimeoutError) return { ok: false, output: `command timed out: "${command.join(' ')}" timed out after ${timeoutMs / 1000}s` }
    throw error
  }
}

function getOverHttp(action: HTTPGetAction, { podIP, container }: HandlerTarget, signal: AbortSignal): Promise<HandlerResult> {
  const given = Object.fromEntries((action.httpHeaders ?? []).map(({ name, value }) => [name.toLowerCase(), value]))
  const options = {
    host: action.host || podIP, port: portOf(action.port, container), path: action.path || '/', method: 'GET', signal, agent: false as const,
    headers: { 'user-agent': 'kube-probe/1.35', accept: '*/*', connection: 'close', ...given },
    rejectUnauthorized: false,
  }
  return new Promise((resolve, reject) => {
    const outgoing = (action.scheme === 'HTTPS' ? httpsRequest : httpRequest)(options, (response) => {
      const { statusCode = 0 } = response
      response.resume()
      // Bodies do not matter, and need not end.
      response.destroy()
      const ok = statusCode >= 200 && statusCode < 400
      resolve({ ok, output: `HTTP probe ${ok ? 'succeeded' : 'failed'} with statuscode: ${statusCode}` })
    })
    outgoing.on('error', (error) => reject(signal.aborted ? (signal.reason as Error) : error))
    outgoing.end()
  })
}

function connectTo(host: string, port: number, signal: AbortSignal): Promise<HandlerResult> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port })
    const onAbort = (): void => {
      socket.destroy()
      reject(signal.reason as Error)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    socket.on('connect', () => {
      socket.destroy()
      resolve({ ok: true, output: '' })
    })
    socket.on('error', reject)
    socket.on('close', () => signal.removeEventListener('abort', onAbort))
  })
}
