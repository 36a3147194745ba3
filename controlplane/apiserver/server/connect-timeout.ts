// How long another server may take to accept a connection. Once it has, it may be silent: a log that is followed often is.
import type { ClientRequest } from 'node:http'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'

const connectTimeoutMs = 5_000

/** Ends a request with an error when its connection, TLS included, does not stand in time. */
export function limitConnecting(outgoing: ClientRequest, timeoutMs = connectTimeoutMs): void {
  const watch = (socket: Socket): void => {
    if (!socket.connecting) return
    const late = (): void => void outgoing.destroy(new Error(`no connection within ${timeoutMs / 1000} s`))
    // The socket's own timeout: that of the request counts from the connection on.
    socket.setTimeout(timeoutMs, late)
    socket.once((socket as Partial<TLSSocket>).encrypted === true ? 'secureConnect' : 'connect', () => {
      socket.setTimeout(0)
      socket.off('timeout', late)
    })
  }
  if (outgoing.socket === null) outgoing.once('socket', watch)
  else watch(outgoing.socket)
}
