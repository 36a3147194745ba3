/** One question over a connection of its own: TCP (RFC 7766), or TLS with a certificate that is checked (RFC 7858). */
import { connect, isIP } from 'node:net'
import type { Socket } from 'node:net'
import { checkServerIdentity, connect as connectTls } from 'node:tls'
import { messageBytesMax } from '../wire/index.ts'
import type { Message } from '../wire/index.ts'
import { answerIn } from './asked.ts'
import type { Asked } from './asked.ts'
import { nameOf } from './upstream.ts'
import type { ExchangeOptions, Upstream } from './upstream.ts'

/** A connection, with TLS where the server has it. Tells when something may be sent. */
export function open({ address, port, tls }: Upstream, protocol: 'dot' | 'h2', onOpen: () => void): Socket {
  if (tls === undefined) return connect(port, address, onOpen)
  const { serverName, ca } = tls
  // SNI has no addresses (RFC 6066 section 3); the certificate is checked for them all the same.
  const sni = isIP(serverName) === 0 ? { servername: serverName } : {}
  return connectTls({
    host: address, port, ...sni, ...(ca === undefined ? {} : { ca }), ALPNProtocols: [protocol],
    checkServerIdentity: (_host, certificate) => checkServerIdentity(serverName, certificate),
  }, onOpen)
}

export function overStream(upstream: Upstream, query: Buffer, asked: Asked, { clock, timeoutMs, signal }: ExchangeOptions): Promise<Message> {
  return new Promise((resolve, reject) => {
    const socket = open(upstream, 'dot', () => {
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
    const received = Buffer.allocUnsafe(2 + messageBytesMax)
    let count = 0
    socket.once('error', (error) => fail(error.message))
    socket.once('close', () => fail('the connection was closed'))
    socket.on('data', (data: Buffer) => {
      count += data.copy(received, count)
      const whole = count < 2 ? Number.POSITIVE_INFINITY : 2 + received.readUInt16BE()
      if (count < whole) return
      const answer = answerIn(received.subarray(2, whole), asked)
      if (answer === undefined) fail('the answer is not to the question')
      else end(() => resolve(answer))
    })
  })
}
