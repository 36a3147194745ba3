/**
 * Whether a link fills in the checksums of what is sent on it, or leaves that to those below (include/uapi/linux/ethtool.h).
 *
 *     struct ifreq           name (16 bytes) · pointer to the command
 *     struct ethtool_value   command u32 · value u32
 *
 * By ioctl rather than by the ethtool family of generic netlink: that came with Linux 5.6, and it is older kernels and drivers that have this wrong.
 */
import { AF_INET, SOCK_DGRAM, addressOf, close, control, socket } from './ffi.ts'
import { struct, u32 } from './layout.ts'
import type { Netns } from './netns.ts'

const SIOCETHTOOL = 0x8946
const ETHTOOL_GTXCSUM = 0x16
const ETHTOOL_STXCSUM = 0x17
const IFNAMSIZ = 16

const ethtoolValue = struct({ command: u32, value: u32 })

interface Place {
  /** the link's network namespace, when it is not the caller's */
  readonly netns?: Netns | undefined
}

/** Whether checksums of what is sent are left to the links below. */
export function isChecksumOffloaded(link: string, { netns }: Place = {}): boolean {
  return access('read offload of', link, ETHTOOL_GTXCSUM, 0, netns) !== 0
}

/** With `false` the kernel computes them before a packet leaves the link. */
export function setChecksumOffload(link: string, offloaded: boolean, { netns }: Place = {}): void {
  access('set offload of', link, ETHTOOL_STXCSUM, offloaded ? 1 : 0, netns)
}

function access(verb: string, link: string, command: number, value: number, netns: Netns | undefined): number {
  const open = (): number => socket(AF_INET, SOCK_DGRAM, 0)
  const fd = netns === undefined ? open() : netns.run<number>(open)
  try {
    const request = ethtoolValue.encode({ command, value })
    const ifreq = Buffer.alloc(40)
    ifreq.write(link, 0, IFNAMSIZ - 1)
    ifreq.writeBigUInt64LE(addressOf(request), IFNAMSIZ)
    control(fd, SIOCETHTOOL, ifreq, { verb, object: `link ${link}` })
    return ethtoolValue.read(request, 0, request.length).value
  } finally {
    close(fd)
  }
}
