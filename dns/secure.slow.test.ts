/** DNS over TLS and over HTTPS for those outside, asked by dig and by Node's clients. */
import { execFile } from 'node:child_process'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { connect as connectHttp2 } from 'node:http2'
import type { ClientHttp2Session } from 'node:http2'
import { request as requestHttps } from 'node:https'
import { connect as connectTcp } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { promisify } from 'node:util'
import packet from 'dns-packet'
import t from 'tap'
import { FakeClock } from '../api/clock.ts'
import { createLogger, silentLogger } from '../api/log.ts'
import { CertificateAuthority, yearMs } from '../controlplane/apiserver/pki/authority.ts'
import { Certificate } from './server/certificate.ts'
import { headless, slice, start, web } from './test-support/started.ts'
import type { Started } from './test-support/started.ts'
import type { DnsOptions } from './index.ts'

const run = promisify(execFile)
const folder = mkdtempSync(join(tmpdir(), 'fairway-dns-tls-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))
const authority = await CertificateAuthority.create('test', () => Date.now())
const ca = authority.credential.certificate
const files = { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'key.pem') }
async function issue(commonName: string): Promise<void> {
  const { certificate, key } = await authority.issue({ subject: { commonName }, usages: ['server'], names: ['dns.example', '127.0.0.1'], validMs: yearMs })
  for (const [file, text] of [[files.certFile, certificate], [files.keyFile, key]] as const) {
    writeFileSync(`${file}.new`, text)
    renameSync(`${file}.new`, file)
  }
}
await issue('first')
writeFileSync(join(folder, 'ca.pem'), ca)

async function startSecure(t: Parameters<typeof start>[0], options: Partial<DnsOptions> = {}): Promise<Started & { tls: number; https: number }> {
  const place = [{ address: '127.0.0.1', port: 0 }]
  const endpoints = Array.from({ length: 100 }, (_, n) => ({ ip: `10.244.0.${n + 1}` }))
  const started = await start(t, { services: [web, headless], endpointslices: [slice('db', endpoints)] }, { tlsListen: place, httpsListen: place, certificate: files, ...options })
  await started.server.ready
  const portOf = (kind: string): number => started.server.secure.find((one) => one.kind === kind)?.port ?? 0
  return { ...started, tls: portOf('tls'), https: portOf('https') }
}

const dig = async (...args: string[]): Promise<string> => (await run('dig', ['@127.0.0.1', '+tries=1', '+time=5', `+tls-ca=${join(folder, 'ca.pem')}`, '+tls-hostname=dns.example', ...args])).stdout

t.test('dig asks by TLS and by HTTPS, with GET and with POST, and knows the certificate', async (t) => {
  const { tls, https } = await startSecure(t)
  t.equal(await dig('-p', String(tls), '+tls', '+short', 'web.default.svc.cluster.local'), '10.96.0.7\n')
  t.equal(await dig('-p', String(https), '+https', '+short', 'web.default.svc.cluster.local'), '10.96.0.7\n')
  t.equal(await dig('-p', String(https), '+https-get', '+short', 'web.default.svc.cluster.local'), '10.96.0.7\n')
  for (const how of ['+tls', '+https']) {
    const whole = await dig('-p', String(how === '+tls' ? tls : https), how, '+short', 'db.default.svc.cluster.local')
    t.equal(whole.trim().split('\n').length, 100, `${how}: nothing is cut`)
  }
})

interface Answer { readonly status: number; readonly headers: Readonly<Record<string, unknown>>; readonly body: Buffer }

function overHttp2(session: ClientHttp2Session, headers: Record<string, string>, body?: Uint8Array): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stream = session.request(headers)
    let status = 0
    let got: Record<string, unknown> = {}
    const pieces: Buffer[] = []
    stream.on('response', (answer) => {
      status = Number(answer[':status'])
      got = answer
    })
    stream.on('data', (piece: Buffer) => pieces.push(piece))
    stream.on('end', () => resolve({ status, headers: got, body: Buffer.concat(pieces) }))
    stream.on('error', reject)
    stream.end(body)
  })
}
const query = (name: string, id = 0): Buffer => packet.encode({ type: 'query', id, flags: packet.RECURSION_DESIRED, questions: [{ name, type: 'A' }] })

t.test('what HTTPS has to say about an answer, and about what is no question', async (t) => {
  const health = { address: '127.0.0.1', port: 0 }
  const { https, server } = await startSecure(t, { health })
  t.ok(server.listening.length === 1)
  const session = connectHttp2(`https://127.0.0.1:${https}`, { ca })
  t.teardown(() => session.close())
  const get = (name: string): Promise<Answer> => overHttp2(session, { ':path': `/dns-query?dns=${query(name).toString('base64url')}` })
  const found = await get('web.default.svc.cluster.local')
  t.match(found, { status: 200, headers: { 'content-type': 'application/dns-message', 'cache-control': 'max-age=5' } })
  t.match(packet.decode(found.body), { id: 0, answers: [{ data: '10.96.0.7' }] })
  t.match(await get('nothing.default.svc.cluster.local'), { status: 200, headers: { 'cache-control': 'max-age=5' } }, 'a name that is not there: as long as its SOA says')
  t.match(await get('example.com'), { status: 200, headers: { 'cache-control': 'no-store' } }, 'a refusal is not kept')
  const post = (headers: Record<string, string>, body: Uint8Array): Promise<Answer> => overHttp2(session, { ':method': 'POST', ':path': '/dns-query', ...headers }, body)
  const type = { 'content-type': 'application/dns-message' }
  t.match(packet.decode((await post(type, query('web.default.svc.cluster.local', 77))).body), { id: 77, answers: [{ data: '10.96.0.7' }] })
  t.equal((await post({ 'content-type': 'text/plain' }, query('a.test'))).status, 415)
  t.equal((await post(type, Buffer.alloc(5000))).status, 413)
  t.equal((await post(type, Buffer.alloc(3))).status, 429, 'a fragment gets no answer')
  t.equal((await overHttp2(session, { ':path': '/dns-query' })).status, 400)
  t.equal((await overHttp2(session, { ':path': '/dns-query?dns=a+b=' })).status, 400)
  t.equal((await overHttp2(session, { ':path': '/other' })).status, 404)
  t.match(await overHttp2(session, { ':method': 'PUT', ':path': '/dns-query' }), { status: 405, headers: { allow: 'GET, POST' } })
  const many = await Promise.all(Array.from({ length: 200 }, () => get('web.default.svc.cluster.local')))
  t.ok(many.every(({ status }) => status === 200), 'many at a time on one connection')
  const byOne = await new Promise<number | undefined>((resolve, reject) => {
    requestHttps({ host: '127.0.0.1', port: https, path: `/dns-query?dns=${query('web.default.svc.cluster.local').toString('base64url')}`, ca, agent: false }, (response) => {
      response.resume()
      resolve(response.statusCode)
    }).on('error', reject).end()
  })
  t.equal(byOne, 200, 'and by HTTP/1.1')
})

t.test('the rate limit holds for every way to ask: a connection ends, HTTPS says 429', async (t) => {
  const { tls, https, port } = await startSecure(t, { rateLimit: 2 })
  const session = connectHttp2(`https://127.0.0.1:${https}`, { ca })
  t.teardown(() => session.close())
  const get = async (): Promise<number> => (await overHttp2(session, { ':path': `/dns-query?dns=${query('web.default.svc.cluster.local').toString('base64url')}` })).status
  t.same([await get(), await get(), await get()], [200, 200, 429])
  const framed = packet.streamEncode({ type: 'query', id: 1, questions: [{ name: 'web.default.svc.cluster.local', type: 'A' }] })
  for (const socket of [connectTcp(port, '127.0.0.1'), connect({ port: tls, host: '127.0.0.1', ca })]) {
    let received = 0
    socket.on('data', (data: Buffer) => (received += data.length)).on('error', () => undefined)
    socket.write(framed)
    await new Promise((resolve) => socket.once('close', resolve))
    t.equal(received, 0)
  }
})

t.test('who is silent or slow with TLS is let go, as by TCP, and the rest are served', async (t) => {
  const { tls, https } = await startSecure(t, { tcp: { idleMs: 400 } })
  const ended = (socket: { on(event: 'error', listener: () => void): unknown; once(event: 'close', listener: () => void): unknown }): Promise<void> => new Promise((resolve) => {
    socket.on('error', () => undefined)
    socket.once('close', () => resolve())
  })
  const silent = [tls, https].map((port) => ended(connectTcp(port, '127.0.0.1')))
  const idle = [tls, https].map((port) => ended(connect({ port, host: '127.0.0.1', ca })))
  const garbage = [tls, https].map((port) => {
    const socket = connectTcp(port, '127.0.0.1')
    socket.write('GET / HTTP/1.1\r\n\r\n')
    return ended(socket)
  })
  const session = connectHttp2(`https://127.0.0.1:${https}`, { ca })
  const slow = session.request({ ':method': 'POST', ':path': '/dns-query', 'content-type': 'application/dns-message' })
  const dripping = setInterval(() => slow.write(Uint8Array.of(0)), 50)
  await Promise.all([...silent, ...idle, ...garbage, ended(slow), ended(session)])
  clearInterval(dripping)
  t.equal(await dig('-p', String(tls), '+tls', '+short', 'web.default.svc.cluster.local'), '10.96.0.7\n')
})

t.test('a certificate is read again when it changes, and one that is of no use leaves the old one in place', async (t) => {
  const lines: string[] = []
  const clock = new FakeClock()
  const { tls, https } = await startSecure(t, { clock, log: createLogger({ write: (line) => void lines.push(line) }) })
  const shown = (port: number): Promise<string> => new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', ca }, () => {
      resolve(String(socket.getPeerCertificate().subject.CN))
      socket.destroy()
    }).on('error', reject)
  })
  const later = async (until: () => boolean): Promise<void> => {
    for (let tries = 0; tries < 200 && !until(); tries += 1) {
      await clock.advance(2100)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
  t.equal(await shown(tls), 'first')
  writeFileSync(files.certFile, 'half a certifi')
  await later(() => lines.some((line) => line.includes('the old one stays')))
  t.equal(await shown(https), 'first')
  await issue('second')
  await later(() => lines.some((line) => line.includes('took the new certificate')))
  t.equal(await shown(tls), 'second')
  t.equal(await shown(https), 'second')
  t.equal(lines.filter((line) => line.includes('the old one stays')).length, 1, 'told once')
  await t.rejects(Certificate.read({ certFile: join(folder, 'ca.pem'), keyFile: files.keyFile, clock, log: silentLogger }), /Cannot use the certificate .*ca.pem with the key/)
  await t.rejects(startSecure(t, { certificate: undefined }), /a certificate and its key are needed/)
})
