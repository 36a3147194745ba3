/**
 * rtnetlink's messages: include/uapi/linux/{rtnetlink,if_link,if_addr,neighbour,fib_rules}.h as tables.
 * Every message is a fixed header followed by attributes.
 */
import { address, arrayOf, attributes, be16, bytes, cstring, i32, mac, message, struct, u16, u32, u64, u8 } from '../layout.ts'
import type { Decoded, Encodable } from '../layout.ts'

export const RTM_NEWLINK = 16
export const RTM_DELLINK = 17
export const RTM_GETLINK = 18
export const RTM_NEWADDR = 20
export const RTM_DELADDR = 21
export const RTM_GETADDR = 22
export const RTM_NEWROUTE = 24
export const RTM_DELROUTE = 25
export const RTM_GETROUTE = 26
export const RTM_NEWNEIGH = 28
export const RTM_DELNEIGH = 29
export const RTM_GETNEIGH = 30
export const RTM_NEWRULE = 32
export const RTM_DELRULE = 33
export const RTM_GETRULE = 34
export const RTM_NEWQDISC = 36
export const RTM_DELQDISC = 37
export const RTM_GETQDISC = 38
export const RTM_NEWLINKPROP = 108
export const RTM_DELLINKPROP = 109
export const RTM_NEWNETCONF = 80

// Links

export const IFF_UP = 0x1
export const IFF_LOOPBACK = 0x8
export const IFF_RUNNING = 0x40
export const IFF_LOWER_UP = 0x10000

const ifinfomsg = struct({ family: u8, pad: u8, type: u16, index: i32, flags: u32, change: u32 })

/** struct rtnl_link_stats64, as far as every kernel has it */
export const linkStatistics = struct({
  rxPackets: u64, txPackets: u64, rxBytes: u64, txBytes: u64, rxErrors: u64, txErrors: u64, rxDropped: u64, txDropped: u64,
})

const linkInfo = attributes({ kind: [1, cstring], data: [2, bytes], slaveKind: [4, cstring] })

const linkAttributes = attributes({
  mac: [1, mac],
  broadcast: [2, mac],
  name: [3, cstring],
  mtu: [4, u32],
  link: [5, u32],
  master: [10, u32],
  txQueueLength: [13, u32],
  operationalState: [16, u8],
  info: [18, linkInfo],
  netnsPid: [19, u32],
  group: [27, u32],
  netnsFd: [28, u32],
  extendedMask: [29, u32],
  statistics: [23, linkStatistics],
  linkNetnsId: [37, i32],
  altNames: [52, arrayOf(cstring, { type: 53 })],
  altName: [53, cstring],
})
export const linkMessage = message(ifinfomsg, linkAttributes)
export type LinkAttributes = Encodable<typeof linkAttributes>
export type LinkMessage = Decoded<typeof linkMessage>

/** The peer is described as a whole link of its own (drivers/net/veth.c). */
export const vethData = attributes({ peer: [1, linkMessage] })

export const vxlanData = attributes({
  id: [1, u32],
  group: [2, address],
  link: [3, u32],
  local: [4, address],
  ttl: [5, u8],
  tos: [6, u8],
  learning: [7, u8],
  ageing: [8, u32],
  port: [15, be16],
  group6: [16, address],
  local6: [17, address],
  udpChecksum: [18, u8],
})

export const bridgeData = attributes({
  forwardDelay: [1, u32],
  helloTime: [2, u32],
  maxAge: [3, u32],
  ageingTime: [4, u32],
  stpState: [5, u32],
  vlanFiltering: [7, u8],
  multicastSnooping: [23, u8],
})

// Addresses

export const IFA_F_NODAD = 0x02
export const IFA_F_DADFAILED = 0x08
export const IFA_F_TENTATIVE = 0x40
export const IFA_F_PERMANENT = 0x80
export const IFA_F_NOPREFIXROUTE = 0x200

const ifaddrmsg = struct({ family: u8, prefixLength: u8, flags: u8, scope: u8, index: u32 })
const addressAttributes = attributes({
  local: [2, address],
  address: [1, address],
  label: [3, cstring],
  broadcast: [4, address],
  anycast: [5, address],
  cacheInfo: [6, struct({ preferredSeconds: u32, validSeconds: u32, created: u32, updated: u32 })],
  flags: [8, u32],
  metric: [9, u32],
  protocol: [11, u8],
})
export const addressMessage = message(ifaddrmsg, addressAttributes)
export type AddressMessage = Decoded<typeof addressMessage>

// Routes

export const RT_TABLE_UNSPEC = 0
export const RT_TABLE_COMPAT = 252
export const RT_TABLE_MAIN = 254
export const RT_TABLE_LOCAL = 255
export const RTPROT_KERNEL = 2
export const RTPROT_STATIC = 4
export const RT_SCOPE_UNIVERSE = 0
export const RT_SCOPE_LINK = 253
export const RT_SCOPE_HOST = 254
export const RT_SCOPE_NOWHERE = 255
export const RTNH_F_ONLINK = 4
export const RTM_F_CLONED = 0x200

/** RTN_*: the position is the number. */
export const routeTypes = ['unspecified', 'unicast', 'local', 'broadcast', 'anycast', 'multicast', 'blackhole', 'unreachable', 'prohibit', 'throw', 'nat'] as const
export type RouteType = (typeof routeTypes)[number]

const rtmsg = struct({
  family: u8, destinationLength: u8, sourceLength: u8, tos: u8,
  table: u8, protocol: u8, scope: u8, type: u8,
  flags: u32,
})
const routeMetrics = attributes({ mtu: [2, u32], window: [3, u32], rtt: [4, u32], advmss: [8, u32], hoplimit: [10, u32] })

export const nextHopAttributes = attributes({ gateway: [5, address] })

export const routeAttributes = attributes({
  destination: [1, address],
  from: [2, address],
  inputLink: [3, u32],
  outputLink: [4, u32],
  gateway: [5, address],
  priority: [6, u32],
  source: [7, address],
  metrics: [8, routeMetrics],
  multipath: [9, bytes],
  cacheInfo: [12, bytes],
  table: [15, u32],
  mark: [16, u32],
  pref: [20, u8],
  expires: [23, u32],
  uid: [25, u32],
})
export const routeMessage = message(rtmsg, routeAttributes)
export type RouteMessage = Decoded<typeof routeMessage>

/** One hop of RTA_MULTIPATH: `length` counts this header and the attributes that follow it. */
export const rtnexthop = struct({ length: u16, flags: u8, hops: u8, index: i32 })

// Neighbours and forwarding entries

export const NUD_INCOMPLETE = 0x01
export const NUD_REACHABLE = 0x02
export const NUD_STALE = 0x04
export const NUD_DELAY = 0x08
export const NUD_PROBE = 0x10
export const NUD_FAILED = 0x20
export const NUD_NOARP = 0x40
export const NUD_PERMANENT = 0x80
export const NTF_SELF = 0x02
export const NTF_MASTER = 0x04
export const NTF_PROXY = 0x08
export const NTF_EXT_LEARNED = 0x10

const ndmsg = struct({ family: u8, pad1: u8, pad2: u16, index: i32, state: u16, flags: u8, type: u8 })
const neighbourAttributes = attributes({
  destination: [1, address],
  mac: [2, mac],
  cacheInfo: [3, bytes],
  probes: [4, u32],
  vlan: [5, u16],
  port: [6, be16],
  vni: [7, u32],
  outputLink: [8, u32],
  master: [9, u32],
  protocol: [12, u8],
})
export const neighbourMessage = message(ndmsg, neighbourAttributes)
export type NeighbourMessage = Decoded<typeof neighbourMessage>

// Rules

export const FR_ACT_TO_TBL = 1
export const FR_ACT_BLACKHOLE = 6
export const FR_ACT_UNREACHABLE = 7
export const FR_ACT_PROHIBIT = 8
export const FIB_RULE_INVERT = 2

const ruleHeader = struct({
  family: u8, destinationLength: u8, sourceLength: u8, tos: u8,
  table: u8, reserved1: u8, reserved2: u8, action: u8,
  flags: u32,
})
const ruleAttributes = attributes({
  to: [1, address],
  from: [2, address],
  inputLink: [3, cstring],
  priority: [6, u32],
  mark: [10, u32],
  suppressPrefixLength: [14, u32],
  table: [15, u32],
  mask: [16, u32],
  outputLink: [17, cstring],
  protocol: [21, u8],
})
export const ruleMessage = message(ruleHeader, ruleAttributes)
export type RuleMessage = Decoded<typeof ruleMessage>

// Queueing disciplines (include/uapi/linux/pkt_sched.h)

export const TC_H_ROOT = 0xffff_ffff
export const TC_LINKLAYER_ETHERNET = 1

const tcmsg = struct({ family: u8, pad1: u8, pad2: u16, index: i32, handle: u32, parent: u32, info: u32 })
const ratespec = struct({ cellLog: u8, linkLayer: u8, overhead: u16, cellAlign: u16, mpu: u16, rate: u32 })
/** struct tc_tbf_qopt: `limit` in bytes, `buffer` in ticks (the burst in bytes is an attribute of its own) */
const tbfParameters = struct({ rate: ratespec, peakRate: ratespec, limit: u32, buffer: u32, mtu: u32 })
export const tbfOptions = attributes({ parameters: [1, tbfParameters], rate64: [4, u64], burst: [6, u32] })
export const qdiscMessage = message(tcmsg, attributes({ kind: [1, cstring], options: [2, bytes] }))

// Settings (include/uapi/linux/netconf.h): what changes under /proc/sys/net/ipv4/conf and ipv6/conf is announced

/** The link that stands for all of them. */
export const NETCONFA_IFINDEX_ALL = -1

const netconfmsg = struct({ family: u8, pad1: u8, pad2: u16 })
const settingAttributes = attributes({ link: [1, i32], forwarding: [2, i32] })
export const settingMessage = message(netconfmsg, settingAttributes)
