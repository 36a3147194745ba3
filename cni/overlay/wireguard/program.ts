/** WireGuard by a program in user space: it makes a TUN link in the host's namespace, and is told the rest over its socket. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isNotFound } from '../../../netlink/errors.ts'
import type { WireguardChange, WireguardDevice } from '../../../netlink/wireguard.ts'
import { makeFolder } from '../../folder.ts'
import { wireguardLinkName } from '../want.ts'
import type { Tunnel, TunnelOptions } from './tunnel.ts'
import { askProgram, decodeDevice, encodeSet } from './uapi.ts'

const defaultSocketDir = '/var/run/wireguard'
const logFile = 'wireguard.log'
const answerMs = 2000
const startMs = 5000
const endMs = 2000
const pollMs = 20

export class ProgramTunnel implements Tunnel {
  readonly by: string
  readonly #options: TunnelOptions
  readonly #socketPath: string
  /** None while an earlier agent's program is still there and does its work. */
  #child: ChildProcess | undefined

  constructor(options: TunnelOptions & { readonly program: string }) {
    this.by = options.program
    this.#options = options
    this.#socketPath = join(options.socketDir ?? defaultSocketDir, `${wireguardLinkName}.sock`)
  }

  async ensure(): Promise<boolean> {
    if (this.#isLinkThere() && (await this.#answers())) return false
    await this.stop()
    await this.#start()
    return true
  }

  async read(): Promise<WireguardDevice> {
    return decodeDevice(await this.#ask('get=1\n\n', 'read WireGuard link'))
  }

  async change(change: WireguardChange): Promise<void> {
    await this.#ask(encodeSet(change), 'set WireGuard link')
  }

  /** Also one of an earlier agent: a program without its link ends. */
  async stop(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child?.exitCode === null && child.signalCode === null) {
      const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
      child.kill()
      const timer = this.#options.clock.setTimeout(() => child.kill('SIGKILL'), endMs)
      await ended
      timer.cancel()
    }
    try {
      this.#options.route.links.delete(wireguardLinkName)
    } catch (error) {
      if (!isNotFound(error)) throw error
    }
  }

  async #start(): Promise<void> {
    const { netns, dataDir, clock, onEnd } = this.#options
    makeFolder(dataDir, 0o700)
    const log = join(dataDir, logFile)
    // a file, since the program outlives an agent that is killed, and one that writes to a pipe without a reader dies of it
    const output = openSync(log, 'w', 0o600)
    let failure: string | undefined
    const env = { PATH: process.env['PATH'], LOG_LEVEL: 'error', WG_PROCESS_FOREGROUND: '1', WG_SUDO: '1' }
    const run = (): ChildProcess => spawn(this.by, ['-f', wireguardLinkName], { stdio: ['ignore', output, output], env })
    const child = netns === undefined ? run() : netns.run<ChildProcess>(run)
    closeSync(output)
    this.#child = child
    child.once('error', (error) => (failure = error.message))
    child.once('exit', (code, signal) => {
      failure ??= `it ended with ${code ?? signal}${lastWords(log)}`
      if (this.#child === child) onEnd()
    })
    for (let waited = 0; !(this.#isLinkThere() && (await this.#answers())); waited += pollMs) {
      if (waited >= startMs) failure ??= `it did not answer at ${this.#socketPath}`
      if (failure !== undefined) {
        await this.stop()
        throw new Error(`Cannot start ${this.by}: ${failure}`)
      }
      await clock.sleep(pollMs)
    }
  }

  #isLinkThere(): boolean {
    return this.#options.route.links.get(wireguardLinkName) !== undefined
  }

  async #answers(): Promise<boolean> {
    try {
      await this.read()
      return true
    } catch (error) {
      // whatever it is that does not answer has to go: no socket, nobody behind it, or something else
      if (error instanceof Error) return false
      throw error
    }
  }

  #ask(request: string, operation: string): Promise<string[]> {
    return askProgram(this.#socketPath, request, { operation: `${operation} ${wireguardLinkName}`, signal: AbortSignal.timeout(answerMs) })
  }
}

/** What the program said last, past banners. */
function lastWords(path: string): string {
  const line = readFileSync(path, 'utf8').split('\n').findLast((one) => /[a-z]/i.test(one) && !one.startsWith('│'))
  return line === undefined ? '' : `: ${line.trim()}`
}
