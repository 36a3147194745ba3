/**
 * Kubernetes' remote command protocol: messages of one byte that names a channel, and data. Over WebSocket each is a binary message
 * (`v5.channel.k8s.io` down to `channel.k8s.io`), or text of a digit and base64 (`base64.channel.k8s.io`); over SPDY each channel is a stream.
 *
 *     | channel (1) | data |      0 stdin, 1 stdout, 2 stderr, 3 status (once, at the end), 4 resize (JSON), 255 close of a channel (v5)
 *
 * The status is JSON from version 4 on; before, it is the message of a failure, and nothing after a success.
 */
import type { Status } from '../../api/types.ts'
import type { StreamSession } from '../runtime/runtime.ts'

/** In order of preference. A client that names none speaks the last. */
export const channelProtocols = ['v5.channel.k8s.io', 'v4.channel.k8s.io', 'v4.base64.channel.k8s.io', 'v3.channel.k8s.io', 'v2.channel.k8s.io', 'base64.channel.k8s.io', 'channel.k8s.io'] as const
/** Of those, the ones that are also spoken over SPDY. */
export const spdyProtocols = ['v4.channel.k8s.io', 'v3.channel.k8s.io', 'v2.channel.k8s.io', 'channel.k8s.io'] as const

export const channelNumbers = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4 } as const
export const closeChannel = 255

const { stdin, stdout, stderr, error: statusChannel, resize } = channelNumbers

/** What happens on a WebSocket, as far as sessions need it. */
export interface MessageConnection {
  /** Resolves once the message was handed on, so that a slow reader slows the writer. */
  send(message: Buffer): Promise<void>
  readonly messages: AsyncIterable<Buffer>
  close(): void
}

export type ClientMessage =
  | { readonly kind: 'input'; readonly data: Buffer }
  | { readonly kind: 'endInput' }
  | { readonly kind: 'resize'; readonly columns: number; readonly rows: number }
  | { readonly kind: 'unknown' }

export function decodeMessage(message: Buffer): ClientMessage {
  const channel = message[0]
  const data = message.subarray(1)
  if (channel === stdin) return { kind: 'input', data }
  if (channel === closeChannel) return data[0] === stdin ? { kind: 'endInput' } : { kind: 'unknown' }
  if (channel !== resize) return { kind: 'unknown' }
  try {
    const { Width: columns, Height: rows } = JSON.parse(data.toString()) as { Width?: unknown; Height?: unknown }
    return typeof columns === 'number' && typeof rows === 'number' ? { kind: 'resize', columns, rows } : { kind: 'unknown' }
  } catch {
    return { kind: 'unknown' }
  }
}

export function encodeMessage(channel: 'stdout' | 'stderr' | 'status', data: Buffer): Buffer {
  return Buffer.concat([Buffer.from([{ stdout, stderr, status: statusChannel }[channel]]), data])
}

/** How the command ended, as clients read it. */
export function exitStatus(exitCode: number | undefined): Partial<Status> {
  if (exitCode === 0 || exitCode === undefined) return { metadata: {}, status: 'Success' }
  return {
    metadata: {}, status: 'Failure', reason: 'NonZeroExitCode',
    message: `command terminated with non-zero exit code: exit status ${exitCode}`,
    details: { causes: [{ reason: 'ExitCode', message: String(exitCode) }] },
  }
}

function failureStatus(error: Error): Partial<Status> {
  return { metadata: {}, status: 'Failure', reason: 'InternalError', message: error.message, code: 500 }
}

async function takeInput(connection: MessageConnection, session: StreamSession): Promise<void> {
  for await (const message of connection.messages) {
    const decoded = decodeMessage(message)
    if (decoded.kind === 'input') await session.write(decoded.data)
    else if (decoded.kind === 'endInput') session.endInput()
    else if (decoded.kind === 'resize') await session.resize(decoded.columns, decoded.rows)
  }
}

/** The status as a protocol tells it; undefined where that is by saying nothing. */
function statusMessage(protocol: string, status: Partial<Status>): Buffer | undefined {
  if (/^v[45]\./.test(protocol)) return encodeMessage('status', Buffer.from(JSON.stringify(status)))
  return status.status === 'Success' ? undefined : encodeMessage('status', Buffer.from(status.message ?? 'failed'))
}

async function sendStatus(connection: MessageConnection, protocol: string, status: Partial<Status>): Promise<void> {
  const message = statusMessage(protocol, status)
  if (message !== undefined) await connection.send(message)
}

/** Tells a client why its session does not begin. An upgrade refused would make kubectl try SPDY, and show how that is refused. */
export async function refuseSession(connection: MessageConnection, protocol: string, status: Partial<Status>): Promise<void> {
  await sendStatus(connection, protocol, status)
  connection.close()
}

/** Joins a client and a process until the process ends or the client leaves. */
export async function joinSession(connection: MessageConnection, protocol: string, session: StreamSession): Promise<void> {
  // Tells the client that the session has begun.
  await connection.send(encodeMessage('stdout', Buffer.alloc(0)))
  const left = takeInput(connection, session).finally(() => session.close())
  try {
    for await (const { stream, data } of session.output) await connection.send(encodeMessage(stream, data))
    await sendStatus(connection, protocol, exitStatus(await session.exitCode()))
  } catch (error) {
    await sendStatus(connection, protocol, failureStatus(error as Error))
  } finally {
    connection.close()
    session.close()
    await left
  }
}
