import { join } from 'node:path'
import t from 'tap'
import { cniStatus, formatCniStatus } from '../status.ts'
import { addressOf, execute, leftovers, makeHost, nothing } from '../test-support/host.ts'
import type { Answered } from '../test-support/host.ts'

if (process.getuid?.() !== 0) {
  t.plan(0, 'many attachments at the same time: needs root')
  process.exit()
}

t.test('two hundred pods, sixteen at a time', async (t) => {
  using host = await makeHost('resident')
  const names = Array.from({ length: 200 }, (_, i) => `pod${i}`)
  for (const name of names) host.addPod(name)
  const all = async (fn: (name: string) => Promise<Answered>): Promise<Answered[]> => {
    const waiting = [...names]
    const answers: Answered[] = []
    await Promise.all(Array.from({ length: 16 }, async () => {
      for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) answers.push(await fn(name))
    }))
    return answers
  }
  const added = await all((name) => host.add(name))
  t.ok(added.every(({ status }) => status === 0))
  t.equal(new Set(added.map(addressOf)).size, 200)
  t.equal(leftovers(host).routes.length, 200)
  t.match(formatCniStatus(await cniStatus({ dataDir: host.dataDir, confDir: host.folder, netns: host.netns })), 'network test: 200 addresses in use')
  t.ok((await all((name) => host.del(name))).every(({ status }) => status === 0))
  t.strictSame(leftovers(host), nothing)
})

t.test('stand-alone plugins at the same time give no address twice', async (t) => {
  using host = await makeHost('stand-alone')
  const names = Array.from({ length: 6 }, (_, i) => `pod${i}`)
  for (const name of names) host.addPod(name)
  const added = await Promise.all(names.map((name) => host.add(name)))
  t.equal(new Set(added.map(addressOf)).size, 6)
  await Promise.all(names.map((name) => host.del(name)))
  t.strictSame(leftovers(host), nothing)
})

t.test('kill -9 in the middle of ADD: DEL leaves nothing, and the next ADD works', async (t) => {
  using host = await makeHost('stand-alone')
  host.addPod('a')
  for (let round = 0; round < 4; round++) {
    const killed = execute('timeout', ['-s', 'KILL', String(0.06 + 0.04 * round), 'nsenter', `--net=${join(host.folder, 'host')}`, join(host.binDir, 'fairway')], {
      input: JSON.stringify(host.config()), env: { CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'a', CNI_NETNS: host.podPath('a'), CNI_IFNAME: 'eth0' },
    })
    await killed
    t.match(await host.del('a'), { status: 0 })
    t.strictSame(leftovers(host), nothing)
  }
  t.match(await host.add('a'), { status: 0 })
})
