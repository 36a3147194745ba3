/** The overlay: routes to the pods of every other host, from the watch of Nodes. */
import type { Client } from '../../api/client.ts'
import type { Clock, Random } from '../../api/clock.ts'
import type { Component } from '../../api/component.ts'
import type { Logger } from '../../api/log.ts'

export interface OverlayOptions {
  readonly client: Client
  readonly nodeName: string
  /** `vxlan` works over any network; `host-gw` needs peers on a shared link, and costs nothing per packet. */
  readonly backend: 'vxlan' | 'host-gw'
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  /** Where the configuration list is written once the pod range is known; left out, none is written. */
  readonly confDir?: string | undefined
  readonly dataDir?: string | undefined
  /** Cluster DNS addresses that a DNS server of this host answers on: put on `lo` and not tracked. */
  readonly clusterDns?: readonly string[] | undefined
}

export interface Overlay extends Component {
  /** Resolves once this host has its pod range, its routes and its configuration list. */
  readonly ready: Promise<void>
}

/** Starts it; resolves at once, as the Node may be registered later by this same process: see `ready`. */
export async function startOverlay(options: OverlayOptions): Promise<Overlay> {
  throw new Error(`Cannot start overlay ${options.backend}`)
}
