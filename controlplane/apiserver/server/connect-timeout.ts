// How long another server may take to accept a connection. Once it has, it may be silent: a log that is followed often is.
import type { ClientRequest } from 'node:http'
import type { TLSSocket } from 'node:tls'

const connectTimeoutMs = 10_000

/** Ends a request with an error when its connection does not stand in time. */
export function limitConnecting(outgoing: ClientRequest): void {
  outgoing.setTimeout(connectTimeoutMs, () => outgoing.destroy(new Error(`no answer within ${connectTimeoutMs / 1000} s`)))
  const connected = (): void => void outgoing.setTimeout(0)
  outgoing.on('socket', (socket) => {
    if (!socket.connecting) connected()
    else socket.once((socket as Partial<TLSSocket>).encrypted === true ? 'secureConnect' : 'connect', connected)
  })
}
