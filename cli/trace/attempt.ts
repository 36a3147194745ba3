/** Trying it, from within a network namespace: one connection, one question. Each is a program of a moment there, as only so every library call is made inside. */
import { execFile } from 'node:child_process'

export type Connected = { readonly connected: true; readonly ms: number } | { readonly connected: false; readonly why: 'refused' | 'no answer' | 'unreachable' }
export type Resolved = { readonly addresses: readonly string[] } | { readonly failed: string }

const waitMs = 1500
/** For the start of a program, on a machine that is busy. */
const programMs = 10_000

const connectProgram = `
  const [address, port, waitMs] = process.argv.slice(1), begin = performance.now()
  const socket = require('node:net').connect({ host: address, port: +port })
  const say = (result) => { console.log(JSON.stringify(result)); process.exit(0) }
  socket.setTimeout(+waitMs, () => say({ code: 'ETIMEDOUT' }))
  socket.once('connect', () => say({ ms: performance.now() - begin })).once('error', ({ code }) => say({ code }))`

const resolveProgram = `
  const [name, server, type, waitMs] = process.argv.slice(1)
  const resolver = new (require('node:dns').promises.Resolver)({ timeout: +waitMs, tries: 1 })
  resolver.setServers([server])
  resolver.resolve(name, type).then((addresses) => console.log(JSON.stringify({ addresses })), ({ code }) => console.log(JSON.stringify({ failed: code })))`

/** One TCP connection from the namespace of a process, given up after 1.5 s. */
export async function connectFrom(pid: number, address: string, port: number): Promise<Connected> {
  const said = await runIn(pid, connectProgram, [address, String(port), String(waitMs)])
  if (typeof said['ms'] === 'number') return { connected: true, ms: said['ms'] }
  return { connected: false, why: said['code'] === 'ECONNREFUSED' ? 'refused' : said['code'] === 'ETIMEDOUT' ? 'no answer' : 'unreachable' }
}

/** One question to a name server from the namespace of a process: for A, or for AAAA where the server's address is of IPv6. */
export async function resolveFrom(pid: number, name: string, server: string): Promise<Resolved> {
  const said = await runIn(pid, resolveProgram, [name, server, server.includes(':') ? 'AAAA' : 'A', String(waitMs)])
  return Array.isArray(said['addresses']) ? { addresses: said['addresses'].map(String) } : { failed: String(said['failed']) }
}

function runIn(pid: number, program: string, args: readonly string[]): Promise<Record<string, unknown>> {
  return new Promise((resolve, reject) => {
    execFile('nsenter', [`--target=${pid}`, '--net', '--', process.execPath, '-e', program, ...args], { timeout: programMs, env: {} }, (error, stdout) => {
      if (error === null) resolve(JSON.parse(stdout) as Record<string, unknown>)
      else reject(new Error(`Cannot try from the network namespace of process ${pid}: ${error.message}`))
    })
  })
}
