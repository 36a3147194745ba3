/**
 * Records what the kernel announces when `ip` and `bridge` are run, for `captures/route.txt`:
 *
 *     node netlink/test-support/capture.ts > netlink/test-support/captures/route.txt
 *
 * Each capture is headed by the command that made it. A line is a message type and the payload in hexadecimal.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Netns } from '../netns.ts'
import { NETLINK_ROUTE, NetlinkSocket } from '../socket.ts'

const commands = [
  'ip link set lo up',
  'ip link add pod1 mtu 1450 address 02:00:00:00:00:01 type veth peer name eth0',
  'ip link set eth0 up',
  'ip link set pod1 up',
  'ip link add vx0 mtu 1400 address 02:00:00:00:01:00 type vxlan id 7 local 192.0.2.1 dstport 8472 nolearning ttl 9',
  'ip link set vx0 up',
  'ip link property add dev vx0 altname a-name-longer-than-fifteen-bytes',
  'ip address add 10.1.0.1/24 broadcast + dev pod1',
  'ip address add fd00::1/64 dev pod1 nodad noprefixroute',
  'ip route add 10.244.2.0/24 via 10.244.2.0 dev vx0 onlink proto 71 metric 5 mtu 1300',
  'ip route add 10.7.0.0/16 nexthop via 10.1.0.3 weight 2 nexthop via 10.1.0.4',
  'ip route add fd01::/64 via fd00::2 dev pod1 onlink table 1000',
  'ip route add blackhole 10.9.0.0/16',
  'ip neighbour add 10.244.2.0 lladdr 02:00:00:00:02:00 dev vx0 nud permanent',
  'ip neighbour add proxy 169.254.1.1 dev pod1',
  'bridge fdb add 02:00:00:00:02:00 dev vx0 dst 192.0.2.2 self permanent',
  'ip rule add priority 100 from 10.244.0.0/16 fwmark 0x4000/0x4000 table 1000',
  'ip route delete 10.7.0.0/16',
  'ip link delete vx0',
]

/** RTNLGRP_* of links, neighbours, addresses, routes and rules. */
const groups = [1, 3, 5, 7, 8, 9, 11, 19]

async function record(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'fairway-capture-'))
  const path = join(directory, 'netns')
  const netns = Netns.create(path)
  const socket = NetlinkSocket.open(NETLINK_ROUTE, { netns, groups })
  let heard: string[] = []
  const listening = socket.listen(({ type, payload }) => heard.push(`${type} ${payload.toString('hex')}`))
  try {
    for (const command of commands) {
      heard = []
      const [program = '', ...args] = command.split(' ')
      execFileSync('nsenter', [`--net=${path}`, program, ...args])
      await new Promise((resolve) => setTimeout(resolve, 20))
      process.stdout.write(`# ${command}\n${heard.map((line) => `${line}\n`).join('')}\n`)
    }
  } finally {
    listening.close()
    socket.close()
    netns.close()
    Netns.delete(path)
    rmSync(directory, { recursive: true })
  }
}

await record()
