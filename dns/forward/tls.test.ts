/** DNS over TLS to another server: whoever cannot show the certificate is not believed. */
import { randomInt } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:tls'
import t from 'tap'
import { systemClock } from '../../api/clock.ts'
import { CertificateAuthority, yearMs } from '../../controlplane/apiserver/pki/authority.ts'
import { TYPE, addressRecord, decodeMessage, encodeMessage, message } from '../wire/index.ts'
import type { Message } from '../wire/index.ts'
import { NetworkExchange } from './exchange.ts'
import { parseUpstream } from './resolv-conf.ts'

t.test('a question over TLS is answered by who has the certificate, and by nobody else', async (t) => {
  const authority = await CertificateAuthority.create('test', () => Date.now())
  const { certificate: cert, key } = await authority.issue({ subject: { commonName: 'dns.example' }, usages: ['server'], names: ['dns.example', '127.0.0.1'], validMs: yearMs })
  const server = createServer({ cert, key, ALPNProtocols: ['dot'] }, (socket) => {
    socket.on('error', () => socket.destroy())
    socket.on('data', (data: Buffer) => {
      const { id, questions } = decodeMessage(data.subarray(2))
      const whole = encodeMessage(message({ id, response: true, questions, answers: [addressRecord(questions[0]?.name ?? '', 60, Uint8Array.of(192, 0, 2, 7))] }))
      // In pieces.
      socket.write(Uint8Array.of(whole.length >> 8))
      socket.end(Buffer.concat([Uint8Array.of(whole.length & 0xff), whole]))
    })
  }).listen(0, '127.0.0.1')
  server.on('tlsClientError', (error) => t.comment(error.message))
  await new Promise((resolve) => server.once('listening', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const ask = (serverName: string, ca: string | undefined): Promise<Message> => new NetworkExchange().ask(
    { address: '127.0.0.1', port, tls: { serverName, ...(ca === undefined ? {} : { ca }) } }, { name: 'a.test.', type: TYPE.A, class: 1, dnssecOk: false, checkingDisabled: false },
    { clock: systemClock, randomInt: (max) => randomInt(max), timeoutMs: 3000, signal: new AbortController().signal },
  )
  for (const name of ['dns.example', '127.0.0.1']) t.same((await ask(name, authority.credential.certificate)).answers[0]?.data[0], Buffer.from([192, 0, 2, 7]), name)
  await t.rejects(ask('other.example', authority.credential.certificate), /by TLS: Hostname\/IP does not match/)
  await t.rejects(ask('dns.example', undefined), /by TLS: /, 'an authority that nobody knows')
})

t.test('servers with TLS are written with their scheme, and their name when it is not their address', (t) => {
  t.same(parseUpstream('tls://192.0.2.1'), { address: '192.0.2.1', port: 853, tls: { serverName: '192.0.2.1' } })
  t.same(parseUpstream('tls://[2001:db8::1]:8853#dns.example'), { address: '2001:db8::1', port: 8853, tls: { serverName: 'dns.example' } })
  t.throws(() => parseUpstream('tls://dns.example'), /Cannot use name server/)
  t.end()
})
