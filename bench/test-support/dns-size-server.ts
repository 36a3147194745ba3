/** `PORT SERVICES`: measures how long it takes until the names of a list are known, and until changes are answered, and prints it. */
import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../../api/clock.ts'
import { silentLogger } from '../../api/log.ts'
import { startDns } from '../../dns/index.ts'
import { FakeApi } from '../../dns/test-support/fake-api.ts'
import { sizedCluster, sizedService } from './dns-cluster.ts'

const [port, size] = process.argv.slice(2)
const changes = 500
const api = new FakeApi()
for (const [plural, objects] of Object.entries(sizedCluster(Number(size)))) for (const object of objects) api.put(plural, object)
const began = performance.now()
const server = await startDns({
  client: api.client, zone: 'cluster.local', pods: 'disabled', upstreams: [], listen: [{ address: '127.0.0.1', port: Number(port) }],
  clock: systemClock, random: Math.random, randomInt: (max) => randomInt(max), log: silentLogger,
})
await server.ready
const readyMs = performance.now() - began
// What the list left behind is cleared away first: changes come to servers that run.
await sleep(2000)
process.stdout.write(`${JSON.stringify({ readyMs, changesMs: await changed() })}\n`)
process.exit(0)

/** From the API's word to the first answer that has it, asking without a pause. */
async function changed(): Promise<number[]> {
  const name = 'svc-7.default.svc.cluster.local'
  const labels = name.split('.').map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]))
  const query = Buffer.concat([Buffer.from([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]), ...labels, Buffer.from([0, 0, 1, 0, 1])])
  const socket = createSocket('udp4')
  let heard: (answer: Buffer) => void = () => undefined
  socket.on('message', (answer) => heard(answer))
  const ask = (): Promise<string> => new Promise((resolve) => {
    heard = (answer) => resolve(answer.subarray(-4).join('.'))
    socket.send(query, Number(port), '127.0.0.1')
  })
  const times: number[] = []
  for (let n = 0; n < changes; n += 1) {
    const next = `10.200.${n >> 8}.${n & 255}`
    const began = performance.now()
    api.put('services', sizedService(7, next))
    while ((await ask()) !== next);
    times.push(performance.now() - began)
  }
  socket.close()
  return times
}
