/** The resident part: the plugins' code behind a Unix socket, so that an executable need not start Node. */
import { lstatSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { dirname } from 'node:path'
import type { Component } from '../../api/component.ts'
import type { Logger } from '../../api/log.ts'
import { makeFolder } from '../folder.ts'
import type { CniMetrics } from '../metrics.ts'
import { defaultSocketPath } from '../paths.ts'
import { Plugins } from '../plugins.ts'
import type { Answer } from '../protocol/run.ts'
import { decodeRequest, encodeAnswer } from './frame.ts'
import { unixAddress } from './shim.ts'

export interface CniServiceOptions {
  readonly socketPath?: string | undefined
  readonly log: Logger
  /** Told of every call. */
  readonly metrics?: CniMetrics | undefined
}

/** A request is a configuration with previous results: some kilobytes. */
const requestBytesMax = 4 << 20
const requestTimeoutMs = 30_000

/** Listens on the socket (0600: root's alone); resolves once it does. A stale socket is replaced, a live one is refused. */
export async function startCniService({ socketPath = defaultSocketPath, log, metrics }: CniServiceOptions): Promise<Component> {
  checkSocketPath(socketPath)
  makeFolderOf(socketPath)
  if (await isAlive(socketPath)) throw new Error(`Cannot serve CNI on ${socketPath}: another process does`)
  rmSync(socketPath, { force: true })
  const service = new CniService(log, metrics)
  await service.listen(socketPath)
  return service
}

function makeFolderOf(socketPath: string): void {
  try {
    makeFolder(dirname(socketPath))
  } catch (error) {
    throw new Error(`Cannot serve CNI on ${socketPath}: ${(error as Error).message}`, { cause: error })
  }
}

/** Whatever else is at that place is not ours to replace. */
function checkSocketPath(socketPath: string): void {
  unixAddress(socketPath)
  if (lstatSync(socketPath, { throwIfNoEntry: false })?.isSocket() === false) throw new Error(`Cannot serve CNI on ${socketPath}: there is something else at that place, which is no socket`)
}

/** Whether somebody listens there. */
function isAlive(socketPath: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath)
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (['ENOENT', 'ECONNREFUSED'].includes(error.code ?? '')) resolve(false)
      else reject(new Error(`Cannot serve CNI on ${socketPath}: ${error.message}`))
    })
  })
}

class CniService implements Component {
  readonly done: Promise<void>
  readonly #log: Logger
  readonly #metrics: CniMetrics | undefined
  readonly #plugins = new Plugins()
  readonly #server: Server
  /** Callers that have not said all yet. */
  readonly #reading = new Set<Socket>()
  /** By attachment, the last call about it. Calls never reject. */
  readonly #turns = new Map<string, Promise<Answer>>()
  readonly #settle: PromiseWithResolvers<void> = Promise.withResolvers<void>()

  constructor(log: Logger, metrics: CniMetrics | undefined) {
    this.#log = log
    this.#metrics = metrics
    this.done = this.#settle.promise
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#serve(socket))
  }

  listen(socketPath: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', (error) => reject(new Error(`Cannot serve CNI on ${socketPath}: ${error.message}`)))
      // bound within the call, so that the socket never has other permissions
      const before = process.umask(0o177)
      try {
        this.#server.listen(socketPath, () => {
          this.#server.removeAllListeners('error')
          this.#server.on('error', (error) => this.#settle.reject(error))
          resolve()
        })
      } finally {
        process.umask(before)
      }
    })
  }

  /** Ends when what runs has been answered. */
  stop(): Promise<void> {
    this.#server.close(() => this.#settle.resolve())
    for (const socket of this.#reading) socket.destroy()
    return this.done
  }

  #serve(socket: Socket): void {
    const chunks: Buffer[] = []
    let size = 0
    this.#reading.add(socket)
    socket.on('close', () => this.#reading.delete(socket))
    socket.setTimeout(requestTimeoutMs, () => socket.destroy())
    socket.on('error', (error) => this.#log.debug('a caller is gone', { error }))
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      size += chunk.length
      if (size > requestBytesMax) socket.destroy()
    })
    socket.on('end', () => {
      if (size > requestBytesMax) return
      this.#reading.delete(socket)
      socket.setTimeout(0)
      void this.#answer(Buffer.concat(chunks)).then((answer) => {
        if (answer === undefined) socket.destroy()
        else socket.end(encodeAnswer(answer))
      })
    })
  }

  /** Calls about one attachment follow each other: whoever killed an executable in the middle of ADD and says DEL finds all that the ADD makes. */
  async #inTurn(attachment: string, run: () => Promise<Answer>): Promise<Answer> {
    const answer = (this.#turns.get(attachment) ?? Promise.resolve()).then(run)
    this.#turns.set(attachment, answer)
    try {
      return await answer
    } finally {
      if (this.#turns.get(attachment) === answer) this.#turns.delete(attachment)
    }
  }

  /** Undefined for what is no request: there is nobody to understand an answer. */
  async #answer(data: Buffer): Promise<Answer | undefined> {
    let request
    try {
      request = decodeRequest(data)
    } catch (error) {
      this.#log.warn('refused a request', { error })
      return undefined
    }
    const { name, call } = request
    const { CNI_COMMAND: command, CNI_CONTAINERID: container, CNI_ARGS: args } = call.environment
    const began = performance.now()
    const answer = await this.#inTurn(`${container} ${call.environment['CNI_IFNAME']}`, () => this.#plugins.run(name, call))
    const ms = performance.now() - began
    this.#metrics?.countCall({ plugin: name, command: command ?? '', code: answer.status === 0 ? 0 : errorCode(answer), seconds: ms / 1000 })
    const fields = { plugin: name, command, container, args, ms: ms.toFixed(1) }
    if (answer.status === 0) this.#log.debug('done', fields)
    else this.#log.warn('refused', { ...fields, answer: answer.output.trim() })
    return answer
  }
}

/** The code of the error object that a plugin answered. */
function errorCode({ output }: Answer): number {
  return (JSON.parse(output) as { readonly code: number }).code
}
