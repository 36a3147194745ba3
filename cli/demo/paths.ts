/** The ways on which the demonstration's client reaches the web site: what is run where, and what must come back. */

import { inUrl } from '../local/addressing.ts'

/** What the demonstration found in the cluster. */
export interface Scene {
  readonly client: { readonly name: string; readonly ip: string; readonly node: string }
  /** A web pod, on another host than the client where there is one. */
  readonly web: { readonly name: string; readonly ip: string; readonly node: string }
  readonly webNames: readonly string[]
  readonly clusterIP: string
  readonly nodePort: number
  /** Addresses of the hosts. */
  readonly nodeAddresses: readonly string[]
}

export interface Path {
  readonly from: string
  readonly to: string
  readonly by: string
  /** A program in a pod, or a page that this machine fetches. */
  readonly run: { readonly container: 'client' | 'web'; readonly script: string } | { readonly url: string }
  readonly isRight: (output: string) => boolean
  /** Printed instead of the output's first line. */
  readonly found?: (output: string) => string
}

const get = (url: string): string => `timeout 2 wget -q -O - ${url}`

export function pathsOf({ client, web, webNames, clusterIP, nodePort, nodeAddresses }: Scene): Path[] {
  const from = `pod client on ${client.node}`
  const across = client.node === web.node ? `pod ${web.ip} on the same host` : `pod ${web.ip} on ${web.node}`
  const isWeb = (output: string): boolean => webNames.includes(output.trim())
  const inClient = (script: string): Path['run'] => ({ container: 'client', script })
  const byName = (name: string, what: string): Path => ({ from, to: `http://${name}/`, by: what, run: inClient(get(`http://${name}/`)), isRight: isWeb })
  const isClientAddress = (output: string): boolean => [`[::ffff:${client.ip}]`, `[${client.ip}]`, client.ip].includes(output.trim())
  const sourceSeen = (output: string): string => `the server saw ${output.trim().replace(/^\[(::ffff:)?|\]$/g, '')}`
  return [
    { from, to: across, by: 'ICMP', run: inClient(`ping -c 1 -W 2 ${web.ip}`), isRight: (output) => output.includes('1 packets received'), found: (output) => `${/time=(\S+ ms)/.exec(output)?.[1] ?? 'answered'} there and back` },
    { from, to: across, by: 'TCP to the pod IP', run: inClient(get(`http://${inUrl(web.ip)}:8080/`)), isRight: (output) => output.trim() === web.name },
    { from, to: across, by: 'UDP to the pod IP', run: inClient(`echo echoed | udp ${web.ip} 9000`), isRight: (output) => output === 'echoed\n' },
    { from, to: across, by: 'source address is kept', run: inClient(get(`http://${inUrl(web.ip)}:8080/cgi-bin/address`)), isRight: isClientAddress, found: sourceSeen },
    { from, to: `service web ${clusterIP}`, by: 'TCP to the cluster IP', run: inClient(get(`http://${inUrl(clusterIP)}/`)), isRight: isWeb },
    { from, to: `service web ${clusterIP}`, by: 'UDP to the cluster IP', run: inClient(`echo echoed | udp ${clusterIP} 9000`), isRight: (output) => output === 'echoed\n' },
    { from, to: `service web ${clusterIP}`, by: 'source address is kept', run: inClient(get(`http://${inUrl(clusterIP)}/cgi-bin/address`)), isRight: isClientAddress, found: sourceSeen },
    byName('web', 'short name'),
    byName('web.default', 'namespaced name'),
    byName('web.default.svc.cluster.local', 'full name'),
    { ...byName('web-headless:8080', 'headless service'), to: 'http://web-headless:8080/' },
    ...nodeAddresses.map((address): Path => ({ from: 'this machine', to: `${inUrl(address)}:${nodePort}`, by: 'node port from outside', run: { url: `http://${inUrl(address)}:${nodePort}/` }, isRight: isWeb })),
    { from, to: `http://${inUrl(web.ip)}:8081/`, by: 'localhost between two containers', run: inClient(get(`http://${inUrl(web.ip)}:8081/cgi-bin/neighbour`)), isRight: (output) => output.trim() === web.name },
    {
      from: `pod ${web.name}`, to: 'itself, by http://web/', by: 'its own service',
      run: { container: 'web', script: `for try in $(seq 50); do answer=$(${get('http://web/')}); [ "$answer" != "$(hostname)" ] || break; done; echo "$answer"` },
      isRight: (output) => output.trim() === web.name,
    },
  ]
}
