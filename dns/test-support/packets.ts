/** Packets that hostile and careless clients send, from a seed: the same seed, the same packets. */

/** Numbers in [0, 1) from a seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A packet: noise, or one of the good ones with bytes changed, cut off, doubled or put behind. */
export function hostilePacket(random: () => number, good: readonly Uint8Array[]): Buffer {
  const below = (max: number): number => Math.floor(random() * max)
  const noise = (length: number): Buffer => Buffer.from(Array.from({ length }, () => below(256)))
  if (random() < 0.15) return noise(below(80))
  let packet = Buffer.from(good[below(good.length)] ?? new Uint8Array())
  const changes = random() < 0.2 ? 0 : 1 + below(4)
  for (let change = 0; change < changes; change += 1) {
    const at = below(Math.max(1, packet.length))
    const kind = below(7)
    if (kind === 0) packet = packet.subarray(0, at)
    else if (kind === 1) packet = Buffer.concat([packet, noise(1 + below(20))])
    else if (kind === 2) packet = Buffer.concat([packet.subarray(0, at), noise(1 + below(4)), packet.subarray(at)])
    else if (kind === 3) packet = Buffer.concat([packet, packet.subarray(12)])
    else if (kind === 4 && packet.length > 12) packet[below(12)] = below(4)
    else if (packet.length > 0) packet[at] = below(256)
  }
  return Buffer.from(packet)
}
