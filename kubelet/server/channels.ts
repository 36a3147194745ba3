/**
 * Kubernetes' remote command protocol over WebSocket (`v4.channel.k8s.io`, `v5.channel.k8s.io`): each binary message is one byte that names a
 * channel, and data.
 *
 *     | channel (1) | data |      0 stdin, 1 stdout, 2 stderr, 3 status (JSON, once, at the end), 4 resize (JSON), 255 close of a channel (v5)
 */
import type { Status } from '../../api/types.ts'
import type { StreamSession } from '../runtime/runtime.ts'

/** In order of preference. */
export const channelProtocols = ['v5.channel.k8s.io', 'v4.channel.k8s.io'] as const

const stdin = 0
const stdout = 1
const stderr = 2
const statusChannel = 3
const resize = 4
const closeChannel = 255

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

/** Tells a client why its session does not begin. An upgrade refused would make kubectl try SPDY, and show how that is refused. */
export async function refuseSession(connection: MessageConnection, status: Partial<Status>): Promise<void> {
  await connection.send(encodeMessage('status', Buffer.from(JSON.stringify(status))))
  connection.close()
}

/** Joins a client and a process until the process ends or the client leaves. */
export async function joinSession(connection: MessageConnection, session: StreamSession): Promise<void> {
  // Tells the client that the session has begun.
  await connection.send(encodeMessage('stdout', Buffer.alloc(0)))
  const left = takeInput(connection, session).finally(() => session.close())
  try {
    for await (const { stream, data } of session.output) await connection.send(encodeMessage(stream, data))
    await connection.send(encodeMessage('status', Buffer.from(JSON.stringify(exitStatus(await session.exitCode())))))
  } catch (error) {
    await connection.send(encodeMessage('status', Buffer.from(JSON.stringify(failureStatus(error as Error)))))
  } finally {
    connection.close()
    session.close()
    await left
  }
}
