import t from 'tap'
import { hiddenBy, parseSockets } from './sockets.ts'

// as Linux 6.18 writes it
const tcp = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 ffff 100 0 0 10 0
   1: 010200C0:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 ffff 100 0 0 10 0
   2: 010200C0:1F91 0900000A:C350 01 00000000:00000000 00:00000000 00000000     0        0 1 1 ffff 100 0 0 10 0
   0: 00000000000000000000000000000000:7562 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 ffff 100 0 0 10 0
`

t.test('sockets that wait for clients are read, those that are connected are not', async (t) => {
  t.strictSame(parseSockets('tcp', tcp), [
    { protocol: 'tcp', address: '0.0.0.0', port: 22 }, { protocol: 'tcp', address: '192.0.2.1', port: 8080 }, { protocol: 'tcp', address: '::', port: 30050 },
  ])
  t.strictSame(parseSockets('udp', tcp), [])
})

t.test('a frontend hides what listens on its port, on its address or on all of them', async (t) => {
  const host = { sockets: parseSockets('tcp', tcp), addresses: new Set(['192.0.2.1', '2001:db8::1']) }
  const hidden = (address: string, port: number, protocol: 'tcp' | 'udp' = 'tcp'): string | undefined => hiddenBy({ address, protocol, port }, host)?.address
  t.equal(hidden('192.0.2.1', 22), '0.0.0.0')
  t.equal(hidden('192.0.2.1', 30050), '::')
  t.equal(hidden('2001:db8::1', 30050), '::')
  t.equal(hidden('2001:db8::1', 22), undefined)
  t.equal(hidden('127.0.0.1', 22), '0.0.0.0')
  t.equal(hidden('127.0.0.1', 8080), undefined)
  t.equal(hidden('192.0.2.1', 22, 'udp'), undefined)
  t.equal(hidden('203.0.113.1', 22), undefined, 'an address that the host does not have')
})
