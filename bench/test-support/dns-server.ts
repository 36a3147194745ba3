/** Our DNS server with so many services and no API server behind it, in a process of its own: `dns-server.ts SERVICES PORT [ENDPOINTS [UPSTREAM-PORT]]`. */
import { randomInt } from 'node:crypto'
import { systemClock } from '../../api/clock.ts'
import { silentLogger } from '../../api/log.ts'
import { startDns } from '../../dns/index.ts'
import { FakeApi } from '../../dns/test-support/fake-api.ts'
import { sliceOf } from '../../dns/test-support/specification.ts'

const [services = 1000, port = 5355, endpoints = 0, upstream] = process.argv.slice(2).map(Number)
const api = new FakeApi()
api.put('namespaces', { metadata: { name: 'default' } })
for (let n = 0; n < services; n += 1) {
  const clusterIP = `10.100.${n >> 8}.${n & 0xff}`
  const spec = { clusterIP, clusterIPs: [clusterIP], ports: [{ name: 'http', port: 80, protocol: 'TCP' }] }
  api.put('services', Object.assign({ metadata: { name: `svc-${n}`, namespace: 'default' } }, { spec }))
}
if (endpoints > 0) {
  api.put('services', Object.assign({ metadata: { name: 'big', namespace: 'default' } }, { spec: { clusterIP: 'None' } }))
  api.put('endpointslices', sliceOf('big', { endpoints: Array.from({ length: endpoints }, (_, n) => ({ addresses: [`10.200.0.${n}`] })) }))
}
const server = await startDns({
  client: api.client, zone: 'cluster.local', pods: 'disabled', upstreams: upstream === undefined ? [] : [{ address: '127.0.0.1', port: upstream }], listen: [{ address: '127.0.0.1', port }],
  clock: systemClock, random: Math.random, randomInt: (max) => randomInt(max), log: silentLogger,
})
process.once('SIGTERM', () => void server.stop())
