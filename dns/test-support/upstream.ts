/** A DNS server elsewhere, by UDP, TCP, TLS and HTTPS, that answers as it is told to: well, badly, or not at all. */
import { createSocket } from 'node:dgram'
import { createSecureServer } from 'node:http2'
import type { Http2Session, ServerHttp2Stream } from 'node:http2'
import { createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import type { Test } from 'tap'
import { CertificateAuthority, yearMs } from '../../controlplane/apiserver/pki/authority.ts'
import type { Upstream } from '../forward/upstream.ts'
import { addressRecord, decodeMessage, encodeMessage, message } from '../wire/index.ts'
import type { Message } from '../wire/index.ts'

/** What comes back: pieces of bytes one after the other, or the end of the connection, or nothing. */
export type Answer = readonly Uint8Array[] | 'hang up' | 'silence'
export type Answering = (packet: Buffer, kind: Kind) => Answer
export type Kind = 'udp' | 'tcp' | 'tls' | 'https'

export const kinds: readonly Kind[] = ['udp', 'tcp', 'tls', 'https']

export interface Elsewhere {
  readonly at: Readonly<Record<Kind, Upstream>>
  /** The ports that questions came from. */
  readonly fromPorts: number[]
  /** HTTP/2 connections so far. */
  readonly sessions: Http2Session[]
  /** How an HTTPS response looks; its body is what is answered. */
  headers: Record<string, string | number>
}

/** A good answer to a query, with parts of it changed. */
export function answerTo(packet: Buffer, parts: Partial<Message> = {}): Buffer {
  const { id, questions } = decodeMessage(packet)
  return encodeMessage(message({ id, response: true, questions, answers: [addressRecord(questions[0]?.name ?? '.', 60, Uint8Array.of(192, 0, 2, 7))], ...parts }))
}

export async function elsewhere(t: Test, answering: Answering): Promise<Elsewhere> {
  const authority = await CertificateAuthority.create('test', () => Date.now())
  const { certificate: cert, key } = await authority.issue({ subject: { commonName: 'dns.example' }, usages: ['server'], names: ['dns.example', '127.0.0.1'], validMs: yearMs })
  const fromPorts: number[] = []
  const sessions: Http2Session[] = []
  const sockets = new Set<Socket>()
  const streaming = (kind: Kind) => (socket: Socket): void => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('data', (data: Buffer) => {
      fromPorts.push(socket.remotePort ?? 0)
      const answer = answering(data.subarray(2), kind)
      if (answer === 'hang up') socket.destroy()
      if (typeof answer === 'string') return
      const length = answer.reduce((sum, piece) => sum + piece.length, 0)
      for (const piece of [Uint8Array.of(length >> 8), Uint8Array.of(length & 0xff), ...answer]) socket.write(piece)
    })
  }
  const tcp = createServer({ noDelay: true }, streaming('tcp'))
  const tls = createTlsServer({ cert, key, ALPNProtocols: ['dot'] }, streaming('tls'))
  const https = createSecureServer({ cert, key })
  const udp = createSocket('udp4')
  const result: Omit<Elsewhere, 'at'> = { fromPorts, sessions, headers: { ':status': 200, 'content-type': 'application/dns-message' } }
  https.on('session', (session: Http2Session) => sessions.push(session))
  https.on('stream', (stream: ServerHttp2Stream, headers) => {
    stream.on('error', () => stream.destroy())
    const pieces: Buffer[] = []
    stream.on('data', (piece: Buffer) => pieces.push(piece)).on('end', () => {
      const answer = headers[':path'] === '/dns-query' && headers[':method'] === 'POST' ? answering(Buffer.concat(pieces), 'https') : 'hang up'
      if (answer === 'hang up') stream.session?.destroy()
      if (typeof answer === 'string') return
      stream.respond(result.headers)
      for (const piece of answer) stream.write(piece)
      stream.end()
    })
  })
  udp.on('message', (packet, from) => {
    fromPorts.push(from.port)
    const answer = answering(packet, 'udp')
    if (typeof answer !== 'string') for (const piece of answer) udp.send(piece, from.port, from.address)
  })
  const [tcpPort, tlsPort, httpsPort] = await Promise.all([tcp, tls, https].map(portOf))
  for (const server of [tls, https]) server.on('tlsClientError', (error: Error) => t.comment(error.message))
  await new Promise<void>((resolve) => udp.bind(tcpPort, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const session of sessions) session.destroy()
    for (const socket of sockets) socket.destroy()
    for (const server of [tcp, tls, https, udp]) server.close()
  })
  const secure = { serverName: 'dns.example', ca: authority.credential.certificate }
  const plain = { address: '127.0.0.1', port: tcpPort ?? 0 }
  return Object.assign(result, {
    at: { udp: plain, tcp: plain, tls: { address: '127.0.0.1', port: tlsPort ?? 0, tls: secure }, https: { address: '127.0.0.1', port: httpsPort ?? 0, tls: secure, https: { path: '/dns-query' } } },
  })
}

function portOf(server: Server): Promise<number> {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)))
}
