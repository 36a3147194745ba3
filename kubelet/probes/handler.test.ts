import { createServer as createHttpServer } from 'node:http'
import { createServer as createHttp2Server } from 'node:http2'
import type { ServerHttp2Stream } from 'node:http2'
import { createServer } from 'node:net'
import type { AddressInfo, Server } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import { systemClock } from '../../api/clock.ts'
import type { ProbeHandler } from '../../api/types.ts'
import { ExecTimeoutError } from '../runtime/runtime.ts'
import { decodeHealthResponse, encodeHealthRequest } from './grpc-health.ts'
import { portOf, runHandler } from './handler.ts'
import type { HandlerResult } from './handler.ts'

function listening(t: Test, server: Server): Promise<number> {
  t.teardown(() => server.close())
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)))
}

function probe(handler: ProbeHandler, exitCode: number | 'late' = 0, timeoutMs = 2000): Promise<HandlerResult> {
  const execSync = async (): Promise<{ exitCode: number; stdout: Buffer; stderr: Buffer }> => {
    if (exitCode === 'late') throw new ExecTimeoutError('late')
    return { exitCode, stdout: Buffer.from('said'), stderr: Buffer.alloc(0) }
  }
  return runHandler(handler, { containerId: 'c', container: { name: 'main', ports: [{ name: 'web', containerPort: 8080 }] }, podIP: '127.0.0.1' }, timeoutMs, { runtime: { execSync }, clock: systemClock })
}

t.test('a command passes with exit code 0', async (t) => {
  t.same(await probe({ exec: { command: ['x'] } }), { ok: true, output: 'said' })
  t.same(await probe({ exec: { command: ['x'] } }, 1), { ok: false, output: 'said' })
  t.match(await probe({ exec: { command: ['x'] } }, 'late'), { ok: false, output: /timed out after 2s/ })
})

t.test('an HTTP request passes with 200 to 399, carries headers, and is given up in time', async (t) => {
  const seen: (string | undefined)[] = []
  const port = await listening(t, createHttpServer((request, response) => {
    seen.push(request.headers.host, request.headers['user-agent'])
    if (request.url !== '/silent') response.writeHead(Number(request.url?.slice(1))).end()
  }))
  const get = (path: string, timeoutMs?: number): Promise<HandlerResult> => probe({ httpGet: { path, port, httpHeaders: [{ name: 'Host', value: 'example.com' }] } }, 0, timeoutMs)
  t.match(await get('/204'), { ok: true })
  t.match(await get('/302'), { ok: true })
  t.same(await get('/503'), { ok: false, output: 'HTTP probe failed with statuscode: 503' })
  t.match(seen, ['example.com', /^kube-probe/])
  t.match(await get('/silent', 50), { ok: false, output: /no answer within 0.05 s/ })
})

t.test('a TCP connection passes where somebody listens', async (t) => {
  const port = await listening(t, createServer())
  t.match(await probe({ tcpSocket: { port } }), { ok: true })
  t.match(await probe({ tcpSocket: { port: 1 } }), { ok: false, output: /ECONNREFUSED/ })
})

t.test('a gRPC server passes when it says that it serves', async (t) => {
  const server = createHttp2Server()
  server.on('stream', (stream: ServerHttp2Stream) => {
    const parts: Buffer[] = []
    stream.on('data', (data: Buffer) => parts.push(data))
    stream.on('end', () => {
      const serves = Buffer.concat(parts).equals(encodeHealthRequest('shop'))
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
      stream.end(Buffer.from([0, 0, 0, 0, 2, 8, serves ? 1 : 2]))
    })
  })
  const port = await listening(t, server)
  t.same(await probe({ grpc: { port, service: 'shop' } }), { ok: true, output: 'service status SERVING' })
  t.same(await probe({ grpc: { port } }), { ok: false, output: 'service status NOT_SERVING' })
  t.match(await probe({ grpc: { port: 1 } }), { ok: false, output: /ECONNREFUSED/ })
  t.equal(decodeHealthResponse(Buffer.alloc(5)), 'UNKNOWN')
})

t.test('ports are numbers, or names of the container', (t) => {
  const container = { name: 'main', ports: [{ name: 'web', containerPort: 8080 }] }
  t.equal(portOf(80, container), 80)
  t.equal(portOf('web', container), 8080)
  t.equal(portOf('81', container), 81)
  t.throws(() => portOf('absent', container), /couldn't find port: "absent"/)
  t.end()
})
