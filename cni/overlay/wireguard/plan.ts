/** What of a WireGuard device is not as it should be. Pure. */
import type { WireguardChange, WireguardDevice, WireguardPeerChange } from '../../../netlink/wireguard.ts'
import type { WantedTunnel } from '../want.ts'

/** Undefined where nothing is to be done. */
export function planDevice(want: WantedTunnel & { readonly privateKey: string }, have: WireguardDevice): WireguardChange | undefined {
  const known = new Map(have.peers.map((peer) => [peer.publicKey, peer]))
  const wanted = new Set(want.peers.map(({ publicKey }) => publicKey))
  const peers: WireguardPeerChange[] = [...known.keys()].filter((publicKey) => !wanted.has(publicKey)).map((publicKey) => ({ publicKey, remove: true }))
  for (const { publicKey, endpoint, allowedIPs } of want.peers) {
    const peer = known.get(publicKey)
    const same = peer?.endpoint?.address === endpoint.address && peer.endpoint.port === endpoint.port
      && [...peer.allowedIPs].sort().join(' ') === [...allowedIPs].sort().join(' ')
    if (!same) peers.push({ publicKey, endpoint, allowedIPs })
  }
  const privateKey = have.privateKey === want.privateKey ? undefined : want.privateKey
  const listenPort = have.listenPort === want.port ? undefined : want.port
  if (privateKey === undefined && listenPort === undefined && peers.length === 0) return undefined
  return { ...(privateKey === undefined ? {} : { privateKey }), ...(listenPort === undefined ? {} : { listenPort }), peers }
}

/** What a change does, in words for log and metrics. */
export function describeChange({ privateKey, listenPort, peers }: WireguardChange): string[] {
  return [
    ...(privateKey === undefined ? [] : ['setTunnelKey']),
    ...(listenPort === undefined ? [] : ['setTunnelPort']),
    ...peers.map(({ remove }) => (remove === true ? 'removeTunnelPeer' : 'setTunnelPeer')),
  ]
}
