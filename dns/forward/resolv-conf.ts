/** The servers that a resolv.conf(5) names, and `ADDRESS[:PORT]` as people write it. */
import { isIP } from 'node:net'
import type { Upstream } from './exchange.ts'

/** glibc and musl take three and ignore the rest. */
const serversMax = 3
const defaultPort = 53

/** `10.0.0.1`, `10.0.0.1:5353`, `fd00::1` or `[fd00::1]:5353`. Throws a sentence for anything else. */
export function parseUpstream(text: string): Upstream {
  const match = /^\[([^\]]+)\](?::(\d+))?$/.exec(text) ?? (isIP(text) === 6 ? [text, text] : /^([^:]+)(?::(\d+))?$/.exec(text))
  const [, address = '', port = String(defaultPort)] = match ?? []
  if (isIP(address) === 0 || Number(port) < 1 || Number(port) > 65_535) throw new Error(`Cannot use name server ${JSON.stringify(text)}: write it as ADDRESS or ADDRESS:PORT, such as 192.0.2.1:53 or [2001:db8::1]:53`)
  return { address, port: Number(port) }
}

/** The `nameserver` lines, in their order. Lines that name no address are passed over, as resolvers do. */
export function parseResolvConf(text: string): Upstream[] {
  const addresses = text.split('\n').flatMap((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? [])
  return addresses.filter((address) => isIP(address.split('%')[0] ?? '') !== 0).slice(0, serversMax).map((address) => ({ address, port: defaultPort }))
}
