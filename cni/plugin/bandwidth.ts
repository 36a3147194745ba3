/** The capability `bandwidth`: how much a pod receives and sends. Rates are in bits a second and bursts in bits there, in bytes here. Pure. */
import type { TokenBucket } from '../../netlink/route/index.ts'
import { invalidConfig, isObject, looseField } from '../protocol/config.ts'

/**
 * A bucket at each end of the pair: the host's end limits what the pod receives, the pod's end what it sends. A pod's end is in its own namespace, where
 * a container with NET_ADMIN can take the bucket away: CHECK notices. It needs no further link (`ifb`) and no classifier, and a sender waits in its own
 * socket rather than losing packets.
 */
export interface Bandwidth {
  readonly toPod?: TokenBucket | undefined
  readonly fromPod?: TokenBucket | undefined
}

/** How long a packet waits at most, as the reference plugin has it. */
const latencySeconds = 0.025
/** What comes at once where no burst was named: 50 ms of the rate, and a few large segments. */
const burstSeconds = 0.05
const burstBytesLeast = 64 * 1024
/** What runtimes pass that have no burst to name (the kubelet 2^31 - 1, containerd 2^32 - 1): half a gigabyte at once would be no limit at all. */
const noBurst = 2 ** 31 - 1

/** Reads `runtimeConfig.bandwidth`, or `bandwidth` of the configuration. */
export function parseBandwidth(value: unknown, mtu: number): Bandwidth {
  if (value === undefined || value === null) return {}
  if (!isObject(value)) throw invalidConfig('bandwidth is not an object')
  const bucket = (rateName: string, burstName: string): TokenBucket | undefined => {
    const [rate, burst] = [parseBits(rateName, looseField(value, rateName)), parseBits(burstName, looseField(value, burstName))]
    if (rate === 0 && burst > 0) throw invalidConfig(`bandwidth has ${burstName} and no ${rateName}`)
    return rate === 0 ? undefined : makeBucket(rate, burst, mtu)
  }
  return { toPod: bucket('ingressRate', 'ingressBurst'), fromPod: bucket('egressRate', 'egressBurst') }
}

function parseBits(name: string, value: unknown): number {
  if (value === undefined || value === null) return 0
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw invalidConfig(`bandwidth has ${name} ${JSON.stringify(value)}, not a number of bits`)
  return value
}

/** A bucket that holds less than a packet would never let one through. */
function makeBucket(rate: number, burst: number, mtu: number): TokenBucket {
  const bytesPerSecond = Math.ceil(rate / 8)
  const wanted = burst === 0 || burst >= noBurst ? Math.max(burstBytesLeast, Math.ceil(bytesPerSecond * burstSeconds)) : Math.ceil(burst / 8)
  const burstBytes = Math.max(wanted, 2 * mtu)
  return { bytesPerSecond, burstBytes, limitBytes: Math.ceil(bytesPerSecond * latencySeconds) + burstBytes }
}
