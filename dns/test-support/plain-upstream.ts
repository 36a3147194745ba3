/** A DNS server elsewhere, by UDP alone, for tests that need one to be there. */
import { createSocket } from 'node:dgram'
import packet from 'dns-packet'
import type { Packet } from 'dns-packet'

const nxdomain = 3

export interface PlainUpstreamOptions {
  /** What a name has; undefined: it is not there. Left out: an address, whatever is asked for. */
  readonly records?: (name: string, type: string) => NonNullable<Packet['answers']> | undefined
  readonly delayMs?: number
}

/** Its port, on 127.0.0.1. */
export async function plainUpstream(t: { teardown(end: () => void): void }, { records = address, delayMs = 0 }: PlainUpstreamOptions = {}): Promise<number> {
  const socket = createSocket('udp4')
  let open = true
  socket.on('message', (query, { port, address: from }) => {
    const { id = 0, questions } = packet.decode(query)
    const { name = '', type = 'A' } = questions?.[0] ?? {}
    const answers = records(name, type)
    const answer = packet.encode({ type: 'response', id, flags: packet.RECURSION_DESIRED | (answers === undefined ? nxdomain : 0), questions: [{ name, type }], answers: answers ?? [] })
    const send = (): void => void (open && socket.send(answer, port, from))
    if (delayMs === 0) send()
    else setTimeout(send, delayMs)
  })
  await new Promise<void>((resolve) => void socket.bind(0, '127.0.0.1', resolve))
  t.teardown(() => {
    open = false
    socket.close()
  })
  return socket.address().port
}

function address(name: string): NonNullable<Packet['answers']> {
  return [{ name, type: 'A', ttl: 60, data: '192.0.2.1' }]
}
