import t from 'tap'
import type { ConntrackEntry } from '../netlink/conntrack.ts'
import { TrafficSums } from './traffic.ts'

const translated = 1 << 5

function entry(destination: string, [originalBytes, replyBytes]: readonly [number, number], status = translated): ConntrackEntry {
  return {
    family: 'ipv4', protocol: 6, status, timeoutSeconds: 1, mark: 0, zone: 0, originalBytes, replyBytes,
    original: { source: '10.244.0.5', sourcePort: 1, destination, destinationPort: 80 }, reply: { source: '10.244.0.6', sourcePort: 8080, destination: '10.244.0.5', destinationPort: 1 },
  }
}

const owners = (frontend: string): { service: string; port: string } | undefined => (frontend === '10.96.0.1 tcp 80' ? { service: 'default/web', port: 'http' } : undefined)

t.test('connections are summed by service; those of nobody and those that were not translated are left out', async (t) => {
  const sums = new TrafficSums(owners)
  sums.ended(entry('10.96.0.1', [100, 1000]))
  sums.ended(entry('10.96.0.2', [1, 1]))
  sums.ended(entry('10.96.0.1', [1, 1], 0))
  t.strictSame(sums.with([entry('10.96.0.1', [10, 20])]), [{ service: 'default/web', port: 'http', connections: 2, bytesIn: 110, bytesOut: 1020 }])
})

t.test('a counter never falls, though a connection may be missed between being open and having ended', async (t) => {
  const sums = new TrafficSums(owners)
  t.match(sums.with([entry('10.96.0.1', [10, 20])]), [{ connections: 1, bytesIn: 10 }])
  t.match(sums.with([]), [{ connections: 1, bytesIn: 10 }])
  sums.ended(entry('10.96.0.1', [15, 20]))
  t.match(sums.with([]), [{ connections: 1, bytesIn: 15 }])
  sums.forget('default/web')
  t.strictSame(sums.with([]), [])
})
