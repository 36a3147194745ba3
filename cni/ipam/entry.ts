/** The journal's lines: an address was taken, an address was freed. */
import { parseAddress, formatAddress } from '../../netlink/addresses.ts'
import { isContainerId, isInterfaceName } from '../protocol/environment.ts'
import type { AttachmentId } from '../protocol/environment.ts'

/** An address and who has it. */
export interface Holding extends AttachmentId {
  /** Without prefix length, in its canonical text. */
  readonly address: string
  /** `namespace/name`, where the runtime said so */
  readonly pod?: string | undefined
}

export type Entry = { readonly kind: 'take'; readonly holding: Holding } | { readonly kind: 'free'; readonly address: string }

export function attachmentKey({ containerId, ifname }: AttachmentId): string {
  return `${containerId} ${ifname}`
}

export function encodeEntry(entry: Entry): string {
  if (entry.kind === 'free') return `${JSON.stringify({ free: entry.address })}\n`
  const { address, containerId, ifname, pod } = entry.holding
  return `${JSON.stringify({ take: address, containerId, ifname, pod })}\n`
}

/** Undefined where the line is no entry. */
export function decodeEntry(line: string): Entry | undefined {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
  const { take, free, containerId, ifname, pod } = (value ?? {}) as Record<string, unknown>
  if (typeof free === 'string' && isCanonical(free)) return { kind: 'free', address: free }
  if (typeof take !== 'string' || !isCanonical(take) || !isContainerId(containerId) || !isInterfaceName(ifname)) return undefined
  return { kind: 'take', holding: { address: take, containerId, ifname, pod: typeof pod === 'string' ? pod : undefined } }
}

function isCanonical(address: string): boolean {
  try {
    return formatAddress(parseAddress(address)) === address
  } catch (error) {
    if ((error as Error).name === 'LayoutError') return false
    throw error
  }
}
