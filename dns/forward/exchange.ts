/**
 * One question to one server: by UDP, and by TCP when the answer was cut. Each question goes out from a port of its own with an id
 * and a spelling that cannot be guessed (RFC 5452, draft-vixie-dnsext-dns0x20); what does not echo all of them is no answer.
 */
import { createSocket } from 'node:dgram'
import { connect, isIP } from 'node:net'
import type { Socket } from 'node:net'
import { checkServerIdentity, connect as connectTls } from 'node:tls'
import type { Clock } from '../../api/clock.ts'
import { RCODE, WireError, decodeMessage, encodeMessage, message } from '../wire/index.ts'
import type { Message } from '../wire/index.ts'

/** Where to ask. */
export interface Upstream {
  readonly address: string
  readonly port: number
  /** DNS over TLS (RFC 7858), and the name that its certificate has to be for. */
  readonly tls?: { readonly serverName: string; readonly ca?: string }
}

/** What is asked: everything of a query that a server elsewhere needs to know. */
export interface ForwardedQuestion {
  /** Canonical. */
  readonly name: string
  readonly type: number
  readonly class: number
  readonly dnssecOk: boolean
  readonly checkingDisabled: boolean
}

export interface ExchangeOptions {
  readonly clock: Clock
  /** An integer from 0 up to, but without, `max` (at most 65536) that nobody can foresee. */
  readonly randomInt: (max: number) => number
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/** Sends a question and resolves to the checked answer. Rejects with why there is none. */
export type Exchange = (upstream: Upstream, question: ForwardedQuestion, options: ExchangeOptions) => Promise<Message>

/** What we say we take by UDP; larger answers come by TCP (DNS flag day 2020). */
const udpPayloadSize = 1232
/** Wrong answers to one question after which somebody is guessing: ask by TCP, which cannot be guessed into. */
const wrongAnswersMax = 3

/** The exchange over the network. */
export const exchange: Exchange = async (upstream, question, options) => {
  const name = spelled(question.name, options.randomInt)
  const id = options.randomInt(0x1_0000)
  const query = encodeMessage(message({
    id, recursionDesired: true, checkingDisabled: question.checkingDisabled,
    questions: [{ name, type: question.type, class: question.class }],
    edns: { udpPayloadSize, version: 0, dnssecOk: question.dnssecOk, options: [] },
  }))
  const asked = { id, name, type: question.type, class: question.class }
  if (upstream.tls !== undefined) return overStream(upstream, query, asked, options)
  const answer = await overUdp(upstream, query, asked, options)
  return answer === undefined || answer.truncated ? overStream(upstream, query, asked, options) : answer
}

interface Asked {
  readonly id: number
  readonly name: string
  readonly type: number
  readonly class: number
}

/** The name with each letter in a case of its own. */
function spelled(name: string, randomInt: ExchangeOptions['randomInt']): string {
  return name.replace(/[a-z]/g, (letter) => (randomInt(2) === 0 ? letter : letter.toUpperCase()))
}

/** Whether a packet answers this very question. An error without a question may come from a server that could not read it. */
function answers(packet: Uint8Array, asked: Asked): Message | undefined {
  let decoded: Message
  try {
    decoded = decodeMessage(packet)
  } catch (error) {
    if (error instanceof WireError) return undefined
    throw error
  }
  const [question] = decoded.questions
  if (!decoded.response || decoded.id !== asked.id) return undefined
  if (question === undefined) return decoded.rcode === RCODE.FORMERR || decoded.rcode === RCODE.NOTIMP ? decoded : undefined
  const same = question.name === asked.name && question.type === asked.type && question.class === asked.class
  return same && decoded.questions.length === 1 ? decoded : undefined
}

/** Undefined: too many wrong answers came. */
function overUdp(upstream: Upstream, query: Buffer, asked: Asked, { clock, timeoutMs, signal }: ExchangeOptions): Promise<Message | undefined> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(upstream.address.includes(':') ? 'udp6' : 'udp4')
    let wrong = 0
    const end = (finish: () => void): void => {
      timer.cancel()
      signal.removeEventListener('abort', onAbort)
      socket.close()
      finish()
    }
    const fail = (why: string): void => end(() => reject(new Error(`Cannot ask ${nameOf(upstream)}: ${why}`)))
    const onAbort = (): void => fail('another server was faster')
    const timer = clock.setTimeout(() => fail(`no answer within ${timeoutMs} ms`), timeoutMs)
    if (signal.aborted) return onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    socket.once('error', (error) => fail(error.message))
    socket.on('message', (packet) => {
      const answer = answers(packet, asked)
      if (answer !== undefined) end(() => resolve(answer))
      else if (++wrong >= wrongAnswersMax) end(() => resolve(undefined))
    })
    // Connected, the kernel drops what others send to the port, and a closed port is told at once.
    socket.connect(upstream.port, upstream.address, (...[error]: readonly Error[]) => {
      // Without a route the callback is told, and no event.
      if (error === undefined) socket.send(query)
      else fail(error.message)
    })
  })
}

/** A connection whose certificate is checked, or a plain one. Tells when questions may be sent. */
function open({ address, port, tls }: Upstream, onOpen: () => void): Socket {
  if (tls === undefined) return connect(port, address, onOpen)
  const { serverName, ca } = tls
  // SNI has no addresses (RFC 6066 section 3); the certificate is checked for them all the same.
  return connectTls({ host: address, port, ...(isIP(serverName) === 0 ? { servername: serverName } : {}), checkServerIdentity: (_host, certificate) => checkServerIdentity(serverName, certificate), ALPNProtocols: ['dot'], ...(ca === undefined ? {} : { ca }) }, onOpen)
}

function overStream(upstream: Upstream, query: Buffer, asked: Asked, { clock, timeoutMs, signal }: ExchangeOptions): Promise<Message> {
  return new Promise((resolve, reject) => {
    const socket = open(upstream, () => {
      const length = Buffer.alloc(2)
      length.writeUInt16BE(query.length)
      socket.write(Buffer.concat([length, query]))
    })
    const end = (finish: () => void): void => {
      timer.cancel()
      signal.removeEventListener('abort', onAbort)
      socket.destroy()
      finish()
    }
    const fail = (why: string): void => end(() => reject(new Error(`Cannot ask ${nameOf(upstream)} by ${upstream.tls === undefined ? 'TCP' : 'TLS'}: ${why}`)))
    const onAbort = (): void => fail('another server was faster')
    const timer = clock.setTimeout(() => fail(`no answer within ${timeoutMs} ms`), timeoutMs)
    if (signal.aborted) return onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    let received = Buffer.alloc(0)
    socket.once('error', (error) => fail(error.message))
    socket.once('close', () => fail('the connection was closed'))
    socket.on('data', (data: Buffer) => {
      received = Buffer.concat([received, data])
      if (received.length < 2 || received.length < 2 + received.readUInt16BE()) return
      const answer = answers(received.subarray(2, 2 + received.readUInt16BE()), asked)
      if (answer === undefined) fail('the answer is not to the question')
      else end(() => resolve(answer))
    })
  })
}

/** `10.0.0.1:53`, `[fd00::1]:53`, `tls://1.1.1.1:853`. */
export function nameOf({ address, port, tls }: Upstream): string {
  const name = address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
  return tls === undefined ? name : `tls://${name}`
}
