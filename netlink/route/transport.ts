/**
 * What rtnetlink requests travel over: the kernel of a network namespace, or a fake in unit tests.
 */
import { AF_INET, AF_INET6 } from '../ffi.ts'
import { Netns } from '../netns.ts'
import { NETLINK_ROUTE, NetlinkSocket } from '../socket.ts'
import type { Listening, Message, SocketOptions, Transport, What } from '../socket.ts'

/** A transport that can also be listened to. */
export interface RouteTransport extends Transport {
  /** `groups` are RTNLGRP_* numbers. */
  listen(groups: readonly number[], onMessage: (message: Message) => void, onOverrun: () => void): Listening
  /** `request` in a thread of the pool; nothing else may be asked until it has answered. */
  requestInThread(type: number, flags: number, payload: Uint8Array, what: What): Promise<readonly Message[]>
}

/** The kernel's side, for one network namespace. */
export function openRouteTransport(options: SocketOptions = {}): RouteTransport {
  // a handle of its own, for sockets that are opened later to listen
  const netns = options.netns === undefined ? Netns.current() : Netns.open(`/proc/thread-self/fd/${options.netns.descriptor}`)
  let socket: NetlinkSocket
  try {
    socket = NetlinkSocket.open(NETLINK_ROUTE, { ...options, netns })
  } catch (error) {
    netns.close()
    throw error
  }
  return {
    request: (type, flags, payload, what) => socket.request(type, flags, payload, what),
    requestInThread: (type, flags, payload, what) => socket.requestInThread(type, flags, payload, what),
    dump: (type, flags, payload, what) => socket.dump(type, flags, payload, what),
    listen(groups, onMessage, onOverrun) {
      const listener = NetlinkSocket.open(NETLINK_ROUTE, { netns, groups, receiveBufferBytes: 4 << 20 })
      const listening = listener.listen(onMessage, onOverrun)
      return {
        close() {
          listening.close()
          listener.close()
        },
      }
    },
    close() {
      socket.close()
      netns.close()
    },
  }
}

export type Family = 'ipv4' | 'ipv6'

/** AF_INET or AF_INET6 of an address or prefix in text. */
export function familyOf(text: string): number {
  return text.includes(':') ? AF_INET6 : AF_INET
}

/** AF_* of a family's name; 0 (any) of none. */
export function familyNumber(family: Family | undefined): number {
  if (family === undefined) return 0
  return family === 'ipv4' ? AF_INET : AF_INET6
}
