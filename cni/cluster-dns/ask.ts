/** Whether a DNS server is there: whether a program listens on its address, and whether it answers for the cluster's names. */
import { randomInt } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { parseAddress } from '../../netlink/addresses.ts'
import { SystemCallError } from '../../netlink/errors.ts'
import { AF_INET, AF_INET6, SOCK_DGRAM, SOCK_NONBLOCK, close, connectTo, receive, send, socket, watchReadable } from '../../netlink/ffi.ts'
import type { Netns } from '../../netlink/netns.ts'

const dnsPort = 53
const TXT = 16
const IN = 1
const SERVFAIL = 2
const REFUSED = 5

export interface AskOptions {
  readonly netns?: Netns | undefined
  /** Gives up. */
  readonly signal: AbortSignal
}

/** Whether a UDP socket is bound to the DNS port of an address, or of all. From /proc/net/udp: addresses are hexadecimal, in words of the machine's order. */
export function isListening(address: string, netns?: Netns): boolean {
  const isV4 = !address.includes(':')
  const read = (): string => {
    try {
      return readFileSync(`/proc/thread-self/net/${isV4 ? 'udp' : 'udp6'}`, 'latin1')
    } catch {
      // A host without IPv6 has no such table.
      return ''
    }
  }
  const table = netns === undefined ? read() : netns.run<string>(read)
  const words = Buffer.from(parseAddress(address)).swap32().toString('hex').toUpperCase()
  const port = dnsPort.toString(16).toUpperCase().padStart(4, '0')
  return [words, '0'.repeat(words.length)].some((local) => table.includes(` ${local}:${port} `))
}

/** Whether the server at an address knows the cluster's names: asked for its `dns-version` (Kubernetes DNS specification, 2.2), it says neither SERVFAIL nor REFUSED. */
export async function answersNames(address: string, zone: string, { netns, signal }: AskOptions): Promise<boolean> {
  const family = address.includes(':') ? AF_INET6 : AF_INET
  const open = (): number => socket(family, SOCK_DGRAM | SOCK_NONBLOCK, 0)
  const fd = netns === undefined ? open() : netns.run<number>(open)
  const query = versionQuery(zone)
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const read = (): void => {
    const answer = Buffer.alloc(512)
    try {
      for (let bytes = receive(fd, answer); bytes !== undefined; bytes = receive(fd, answer)) {
        const rcode = (answer[3] ?? 0) & 0x0f
        if (bytes >= 12 && answer.readUInt16BE(0) === query.readUInt16BE(0)) return resolve(rcode !== SERVFAIL && rcode !== REFUSED)
      }
    } catch (error) {
      // Refused, or there is no way.
      if (error instanceof SystemCallError) return resolve(false)
      throw error
    }
  }
  const watch = watchReadable(fd, read)
  const giveUp = (): void => resolve(false)
  signal.addEventListener('abort', giveUp)
  try {
    connectTo(fd, sockaddr(family, address), address)
    send(fd, query)
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error
    resolve(false)
  }
  return promise.finally(() => {
    signal.removeEventListener('abort', giveUp)
    watch.close()
    close(fd)
  })
}

/** RFC 1035 section 4.1: one question, recursion not desired. */
function versionQuery(zone: string): Buffer {
  const labels = ['dns-version', ...zone.replace(/\.$/, '').split('.')].map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]))
  const id = randomInt(0x1_0000)
  return Buffer.concat([Buffer.from([id >> 8, id & 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]), ...labels, Buffer.from([0, 0, TXT, 0, IN])])
}

/** struct sockaddr_in, struct sockaddr_in6 */
function sockaddr(family: typeof AF_INET | typeof AF_INET6, address: string): Buffer {
  const raw = Buffer.alloc(family === AF_INET ? 16 : 28)
  raw.writeUInt16LE(family, 0)
  raw.writeUInt16BE(dnsPort, 2)
  raw.set(parseAddress(address), family === AF_INET ? 4 : 8)
  return raw
}
