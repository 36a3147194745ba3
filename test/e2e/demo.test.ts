/** What a new user sees first: the demonstration, a second `up`, the status, and nothing left afterwards. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { Cluster, fairway } from '../support/cluster.ts'
import { machineState } from '../support/machine-state.ts'

const before = machineState()
const cluster = new Cluster('e2e-demo')
let isDown = false
t.teardown(async () => {
  if (!isDown) await cluster.down()
})

t.test('one command takes two hosts up, and every kind of path between pods works', async (t) => {
  const ran = await cluster.fairway(['up', '--name', cluster.name, '--demo'], { timeoutMs: 240_000 })
  t.equal(ran.code, 0, ran.stderr + ran.stdout)
  const shown = ran.stdout
  t.notMatch(shown, /✗/, shown)
  for (const path of [/ICMP/i, /TCP/, /UDP/, /cluster IP/i, /web\.default\.svc\.cluster\.local/, /web\.default\b/, /headless/i, /node port/i, /localhost/i, /own service|itself/i, /source address/i]) {
    t.match(shown, path, `the table says who reached what by ${path.source}`)
  }
  t.match(shown, /\d ms/, 'with latencies')
  t.match(shown, /kubectl[\s\S]*fairway (status|down)/, 'and how to go on')
})

t.test('kubectl finds the cluster through the context that up wrote', async (t) => {
  t.match(readFileSync(cluster.kubeconfig, 'utf8'), new RegExp(`current-context: fairway-${cluster.name}`))
  const nodes = await cluster.kubectl(['get', 'nodes', '--no-headers'])
  t.equal(nodes.trim().split('\n').filter((line) => / Ready /.test(line)).length, 2, nodes)
})

t.test('a second up says that the cluster is there and changes nothing', async (t) => {
  const nodes = await cluster.kubectl(['get', 'nodes', '-o', 'jsonpath={.items[*].metadata.uid}'])
  const ran = await cluster.fairway(['up', '--name', cluster.name])
  t.equal(ran.code, 0, ran.stderr)
  t.match(ran.stdout + ran.stderr, /already (up|running)|is up|running/i)
  t.equal(await cluster.kubectl(['get', 'nodes', '-o', 'jsonpath={.items[*].metadata.uid}']), nodes)
})

t.test('status shows hosts, components and addresses', async (t) => {
  const ran = await cluster.fairway(['status', '--name', cluster.name])
  t.equal(ran.code, 0, ran.stderr)
  for (const word of [/node-1/, /node-2/, /agent/, /dns/, /10\.244\./, /https:\/\//]) t.match(ran.stdout, word)
})

t.test('down leaves nothing: the machine is as it was before', async (t) => {
  const ran = await cluster.down()
  isDown = true
  t.equal(ran.code, 0, ran.stderr)
  t.same(machineState(), before)
  const status = await fairway(['status', '--name', cluster.name])
  t.not(status.code, 0, 'a cluster that is gone has no status')
})
