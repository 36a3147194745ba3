/** The servers that a resolv.conf(5) names, and `ADDRESS[:PORT]` as people write it. */
import { isIP } from 'node:net'
import type { Upstream } from './upstream.ts'

/** glibc and musl take three and ignore the rest. */
const serversMax = 3
const defaultPort = 53
const tlsPort = 853
const httpsPort = 443
const defaultPath = '/dns-query'

/**
 * `10.0.0.1`, `10.0.0.1:5353`, `fd00::1`, `[fd00::1]:5353`; for DNS over TLS `tls://1.1.1.1`, for DNS over HTTPS `https://1.1.1.1/dns-query` (which is the path when
 * none is written), each with the name of the certificate behind it when it is not for the address: `tls://1.1.1.1#one.one.one.one`. Throws a sentence for anything else.
 */
export function parseUpstream(text: string): Upstream {
  const [, scheme, where = '', path = defaultPath, serverName] = /^(tls|https):\/\/([^/#]*)(\/[^#]*)?(?:#(.+))?$/.exec(text) ?? []
  if (scheme === undefined || (scheme === 'tls' && path !== defaultPath)) return parsePlain(text, defaultPort)
  const { address, port } = parsePlain(where, scheme === 'tls' ? tlsPort : httpsPort)
  const tls = { serverName: serverName ?? address }
  return scheme === 'tls' ? { address, port, tls } : { address, port, tls, https: { path } }
}

function parsePlain(text: string, portWhenNone: number): Upstream {
  const match = /^\[([^\]]+)\](?::(\d+))?$/.exec(text) ?? (isIP(text) === 6 ? [text, text] : /^([^:]+)(?::(\d+))?$/.exec(text))
  const [, address = '', port = String(portWhenNone)] = match ?? []
  if (isIP(address) === 0 || Number(port) < 1 || Number(port) > 65_535) throw new Error(`Cannot use name server ${JSON.stringify(text)}: write it as ADDRESS or ADDRESS:PORT, such as 192.0.2.1:53 or [2001:db8::1]:53`)
  return { address, port: Number(port) }
}

/** The `nameserver` lines, in their order. Lines that name no address are passed over, as resolvers do. */
export function parseResolvConf(text: string): Upstream[] {
  const addresses = text.split('\n').flatMap((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? [])
  return addresses.filter((address) => isIP(address.split('%')[0] ?? '') !== 0).slice(0, serversMax).map((address) => ({ address, port: defaultPort }))
}
