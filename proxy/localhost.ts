/**
 * Whether 127.0.0.0/8 is routed: replies to a node port on 127.0.0.1 come from other links, where the kernel expects no such address. What
 * else comes to it from other links the table's chain `input` drops; so it is routed only while the table is there.
 */
import type { Logger } from '../api/log.ts'
import { isNotFound } from '../netlink/errors.ts'
import type { Netns } from '../netlink/netns.ts'
import { writeSysctl } from '../netlink/sysctl.ts'

const setting = 'ipv4/conf/all/route_localnet'

/** Has it routed. */
export function routeLocalhost(netns: Netns | undefined, log: Logger): void {
  try {
    writeSysctl(setting, 1, { netns })
  } catch (error) {
    if (!isNotFound(error)) log.warn('node ports will not answer on 127.0.0.1', { error })
  }
}

/** As it is in a new namespace. */
export function unrouteLocalhost(netns: Netns | undefined): void {
  try {
    writeSysctl(setting, 0, { netns })
  } catch (error) {
    if (!isNotFound(error)) throw error
  }
}
