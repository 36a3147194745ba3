/**
 * How programs that do WireGuard are spoken to: lines over a Unix socket (https://www.wireguard.com/xplatform/). Keys are hexadecimal here.
 *
 *     set=1                              get=1
 *     private_key=…                      (an empty line)
 *     public_key=…                                          private_key=…
 *     endpoint=10.90.0.2:51820                              public_key=…
 *     replace_allowed_ips=true                              allowed_ip=10.244.2.0/24
 *     allowed_ip=10.244.2.0/24                              errno=0
 *     (an empty line)  ────►  errno=0
 */
import { connect } from 'node:net'
import { LayoutError, NetlinkError } from '../../../netlink/errors.ts'
import type { WireguardChange, WireguardDevice, WireguardEndpoint, WireguardPeer } from '../../../netlink/wireguard.ts'

const toHex = (key: string): string => Buffer.from(key, 'base64').toString('hex')
const fromHex = (key: string): string => Buffer.from(key, 'hex').toString('base64')

/** Pure. */
export function encodeSet({ privateKey, listenPort, peers }: WireguardChange): string {
  const lines = ['set=1']
  if (privateKey !== undefined) lines.push(`private_key=${toHex(privateKey)}`)
  if (listenPort !== undefined) lines.push(`listen_port=${listenPort}`)
  for (const peer of peers) {
    lines.push(`public_key=${toHex(peer.publicKey)}`)
    if (peer.remove === true) lines.push('remove=true')
    else lines.push(`endpoint=${formatEndpoint(peer.endpoint)}`, 'replace_allowed_ips=true', ...peer.allowedIPs.map((range) => `allowed_ip=${range}`))
  }
  return `${lines.join('\n')}\n\n`
}

/** Pure. Lines of no interest here are passed over. */
export function decodeDevice(lines: readonly string[]): WireguardDevice {
  let privateKey: string | undefined
  let listenPort = 0
  const peers: { -readonly [K in keyof WireguardPeer]: WireguardPeer[K] }[] = []
  for (const line of lines) {
    const at = line.indexOf('=')
    const [name, value] = [line.slice(0, at), line.slice(at + 1)]
    const peer = peers.at(-1)
    if (name === 'private_key') privateKey = fromHex(value)
    else if (name === 'listen_port') listenPort = Number(value)
    else if (name === 'public_key') peers.push({ publicKey: fromHex(value), allowedIPs: [] })
    else if (peer === undefined) continue
    else if (name === 'endpoint') peer.endpoint = parseEndpoint(value)
    else if (name === 'allowed_ip') peer.allowedIPs = [...peer.allowedIPs, value]
    else if (name === 'last_handshake_time_sec') peer.lastHandshakeSeconds = Number(value)
    else if (name === 'rx_bytes') peer.receivedBytes = BigInt(value)
    else if (name === 'tx_bytes') peer.sentBytes = BigInt(value)
  }
  return { privateKey, listenPort, peers }
}

function formatEndpoint({ address, port }: WireguardEndpoint): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}

function parseEndpoint(text: string): WireguardEndpoint {
  const match = /^(?:\[(.+)\]|([^:]+)):(\d+)$/.exec(text)
  if (match === null) throw new LayoutError(`Cannot read endpoint ${JSON.stringify(text)}: it is no address and port`)
  return { address: match[1] ?? match[2] ?? '', port: Number(match[3]) }
}

/** Asks, and returns the lines of the answer before its `errno`. Rejects where that is not 0, nobody listens, or nothing comes before the signal. */
export async function askProgram(socketPath: string, request: string, { operation, signal }: { readonly operation: string; readonly signal: AbortSignal }): Promise<string[]> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const socket = connect(socketPath)
  let text = ''
  const giveUp = (): void => reject(new Error(`Cannot ${operation} at ${socketPath}: no answer in time`))
  signal.addEventListener('abort', giveUp)
  socket.setEncoding('utf8')
  socket.on('data', (data: string) => {
    text += data
    if (/(^|\n)errno=-?\d+\n\n$/.test(text)) resolve(text)
  })
  socket.on('error', reject)
  socket.on('close', () => reject(new Error(`Cannot ${operation} at ${socketPath}: the program closed it`)))
  socket.write(request)
  try {
    const lines = (await promise).trimEnd().split('\n')
    const errno = Number(lines.pop()?.slice('errno='.length))
    if (errno !== 0) throw new NetlinkError(operation, `at ${socketPath}`, errno)
    return lines
  } finally {
    signal.removeEventListener('abort', giveUp)
    socket.destroy()
  }
}
