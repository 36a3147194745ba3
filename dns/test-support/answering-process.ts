/**
 * A DNS server in a process of its own, for tests: arguments are where it listens (`127.0.0.1:53`, several with commas), its hand-over
 * socket or `-`, the port of a server for other names or `-`, and how long a TCP connection may be idle. Says `answering` when it does.
 */
import { randomInt } from 'node:crypto'
import { systemClock } from '../../api/clock.ts'
import { createLogger } from '../../api/log.ts'
import { startDns } from '../index.ts'
import { FakeApi } from './fake-api.ts'
import { namespace, web } from './started.ts'

const [places = '', handOver, upstream = '-', idleMs] = process.argv.slice(2)
const api = new FakeApi()
api.put('namespaces', namespace('default'))
api.put('services', web)
const listen = places.split(',').map((place) => ({ address: place.slice(0, place.lastIndexOf(':')), port: Number(place.slice(place.lastIndexOf(':') + 1)) }))
const server = await startDns({
  client: api.client, zone: 'cluster.local', pods: 'disabled', upstreams: upstream === '-' ? [] : [{ address: '127.0.0.1', port: Number(upstream) }], listen, handOver: handOver === '-' ? undefined : handOver,
  ...(idleMs === undefined ? {} : { tcp: { idleMs: Number(idleMs) } }),
  clock: systemClock, random: Math.random, randomInt: (max) => randomInt(max), log: createLogger({ level: 'warn' }),
})
process.stdout.write('answering\n')
await server.done
process.exit(0)
