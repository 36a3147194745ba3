/** The gRPC health checking protocol (grpc.health.v1.Health/Check) over HTTP/2 in clear text: one request, one answer. */
import { connect, constants } from 'node:http2'
import type { HandlerResult } from './handler.ts'

export interface GrpcTarget {
  readonly host: string
  readonly port: number
  readonly service: string
}

const statuses = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN']

/** `HealthCheckRequest { string service = 1 }` behind the five bytes of a gRPC message: | compressed (1) | length (4) | */
export function encodeHealthRequest(service: string): Buffer {
  const name = Buffer.from(service)
  const length: number[] = []
  for (let rest = name.length; ; rest >>>= 7) {
    length.push(rest > 127 ? (rest & 127) | 128 : rest)
    if (rest <= 127) break
  }
  const message = name.length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.from([0x0a, ...length]), name])
  const head = Buffer.alloc(5)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}

/** `HealthCheckResponse { ServingStatus status = 1 }`; an empty message is UNKNOWN. */
export function decodeHealthResponse(data: Buffer): string {
  return data.length >= 7 && data[5] === 0x08 ? (statuses[data[6] ?? 0] ?? 'UNKNOWN') : 'UNKNOWN'
}

export function checkGrpcHealth({ host, port, service }: GrpcTarget, signal: AbortSignal): Promise<HandlerResult> {
  return new Promise((resolve, reject) => {
    const session = connect(`http://${host.includes(':') ? `[${host}]` : host}:${port}`)
    const fail = (error: Error): void => {
      session.destroy()
      reject(error)
    }
    signal.addEventListener('abort', () => fail(signal.reason as Error), { once: true })
    session.on('error', fail)
    const stream = session.request({
      ':method': 'POST', ':path': '/grpc.health.v1.Health/Check', 'content-type': 'application/grpc', te: 'trailers', 'user-agent': 'kube-probe/1.35',
    })
    const parts: Buffer[] = []
    let failure = ''
    const note = (headers: Record<string, unknown>): void => {
      const code = headers['grpc-status']
      if (code !== undefined && String(code) !== '0') failure = `service unhealthy (gRPC status ${String(code)}: ${String(headers['grpc-message'] ?? '')})`
    }
    stream.on('response', note)
    stream.on('trailers', note)
    stream.on('data', (data: Buffer) => parts.push(data))
    stream.on('error', fail)
    stream.on('close', () => {
      session.destroy()
      const status = decodeHealthResponse(Buffer.concat(parts))
      resolve(failure === '' ? { ok: status === 'SERVING', output: `service status ${status}` } : { ok: false, output: failure })
    })
    stream.end(encodeHealthRequest(service))
    if (stream.rstCode !== constants.NGHTTP2_NO_ERROR) fail(new Error('the server refused the request'))
  })
}
