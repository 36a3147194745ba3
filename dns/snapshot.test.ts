import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { loadSnapshot, saveSnapshot } from './snapshot.ts'
import { FakeApi } from './test-support/fake-api.ts'
import { data, namespace, service, start, web } from './test-support/started.ts'

function fileOf(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'fairway-dns-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  return join(folder, 'names.snapshot')
}

t.test('after a restart what was known is served before the API server has answered, and then what is true', async (t) => {
  const snapshot = fileOf(t)
  const gone = service('gone', { clusterIP: '10.96.0.99', clusterIPs: ['10.96.0.99'], ports: [] })
  const first = await start(t, { services: [web, gone] }, { snapshot })
  await first.server.ready
  await first.server.stop()
  t.ok(existsSync(snapshot))
  t.notMatch(readFileSync(snapshot, 'utf8'), 'managedFields')
  const api = new FakeApi()
  const gate = Promise.withResolvers<void>()
  api.reachable = gate.promise
  const fresh = service('fresh', { clusterIP: '10.96.0.50', clusterIPs: ['10.96.0.50'], ports: [] })
  const second = await start(t, { services: [web, fresh] }, { snapshot, health: { address: '127.0.0.1', port: 0 } }, api)
  t.same(data(await second.ask('web.default.svc.cluster.local')), ['10.96.0.7'])
  t.same(data(await second.ask('gone.default.svc.cluster.local')), ['10.96.0.99'])
  await second.server.ready
  gate.resolve()
  for (let attempt = 0; attempt < 100 && data(await second.ask('fresh.default.svc.cluster.local')).length === 0; attempt += 1) await new Promise((resolve) => setTimeout(resolve, 10))
  t.same(data(await second.ask('fresh.default.svc.cluster.local')), ['10.96.0.50'])
  t.equal((await second.ask('gone.default.svc.cluster.local')).rcode, 'NXDOMAIN')
  t.same(data(await second.ask('web.default.svc.cluster.local')), ['10.96.0.7'])
})

t.test('a snapshot that is damaged, of another zone, of another version or incomplete is not used', async (t) => {
  const file = fileOf(t)
  t.equal(await loadSnapshot(file, 'cluster.local.', ['services']), undefined, 'none is none')
  await saveSnapshot(file, { zone: 'cluster.local.', currentAt: 1, objects: { services: [web], namespaces: [namespace('default')] } })
  t.equal((await loadSnapshot(file, 'cluster.local.', ['services']))?.objects.services?.length, 1)
  await t.rejects(loadSnapshot(file, 'other.', ['services']), /of zone/)
  await t.rejects(loadSnapshot(file, 'cluster.local.', ['services', 'pods']), /lacks some/)
  const whole = readFileSync(file)
  const damaged = Buffer.from(whole)
  damaged[whole.length - 5] = 0x20
  const swapped = Buffer.from(whole.toString().replace('10.96.0.7', '10.96.0.8'))
  for (const [bytes, why] of [[damaged, /damaged/], [swapped, /damaged/], [whole.subarray(0, whole.length - 9), /damaged/], [Buffer.from('hello'), /it is none/], [Buffer.alloc(0), /it is none/], [Buffer.from(whole.toString().replace('snapshot 2', 'snapshot 1')), /has version 1/]] as const) {
    writeFileSync(file, bytes)
    await t.rejects(loadSnapshot(file, 'cluster.local.', ['services']), why)
  }
  const { server, ask } = await start(t, { services: [web] }, { snapshot: file })
  await server.ready
  t.same(data(await ask('web.default.svc.cluster.local')), ['10.96.0.7'], 'and does not keep the server from starting')
})

t.test('nobody who asks waits for the writing or reading of a large snapshot', async (t) => {
  const file = fileOf(t)
  const services = Array.from({ length: 20_000 }, (_, n) => service(`svc-${n}`, { clusterIP: '10.96.0.7', clusterIPs: ['10.96.0.7'], ports: [{ name: 'http', port: 80, protocol: 'TCP' }] }))
  let turns = 0
  let counting = true
  const count = (): void => {
    turns += 1
    if (counting) setImmediate(count)
  }
  setImmediate(count)
  await saveSnapshot(file, { zone: 'cluster.local.', currentAt: 1, objects: { services } })
  const writing = turns
  const read = await loadSnapshot(file, 'cluster.local.', ['services'])
  const reading = turns - writing
  counting = false
  t.same(read?.objects.services, services)
  // Written at once it would be two or three turns of the event loop, one of them as long as all.
  t.ok(writing > 10 && reading > 10, `${writing} turns for writing, ${reading} for reading`)
})
