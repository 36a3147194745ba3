/** `up` that is killed or interrupted in the middle leaves nothing that `down` does not remove, and can begin again at once. */
import { spawn } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Cluster, eventually, root } from '../support/cluster.ts'
import { machineState } from '../support/machine-state.ts'

const before = machineState()

/** Every process whose environment or command line names the cluster: what `kill -9` of everything means. */
function processesOf(name: string): number[] {
  return readdirSync('/proc').filter((entry) => /^\d+$/.test(entry) && Number(entry) !== process.pid).map(Number).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(name) || readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`FAIRWAY_CLUSTER=${name}\0`)
    } catch {
      return false // it ended meanwhile
    }
  })
}

for (const afterMs of [300, 1200, 2500]) {
  t.test(`kill -9 of everything ${afterMs} ms into up, then down, leaves nothing`, async (t) => {
    const cluster = new Cluster('e2e-cut')
    const up = spawn(join(root, 'fairway'), ['up', '--name', cluster.name], { env: { ...process.env, ...cluster.env, FAIRWAY_SKIP_SETUP: '1' }, stdio: 'ignore' })
    await new Promise((resolve) => setTimeout(resolve, afterMs))
    up.kill('SIGKILL')
    for (const pid of processesOf(cluster.name)) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
      }
    }
    const ran = await cluster.down()
    t.equal(ran.code, 0, ran.stderr)
    await eventually('every process is gone', () => processesOf(cluster.name).length === 0, 10_000)
    t.same(machineState(), before)
  })
}

t.test('Ctrl-C in the middle of up takes back what it had begun', async (t) => {
  const cluster = new Cluster('e2e-cut')
  const up = spawn(join(root, 'fairway'), ['up', '--name', cluster.name], { env: { ...process.env, ...cluster.env, FAIRWAY_SKIP_SETUP: '1' }, stdio: 'ignore' })
  const ended = new Promise<number | null>((resolve) => up.once('close', resolve))
  await new Promise((resolve) => setTimeout(resolve, 1500))
  up.kill('SIGINT')
  t.not(await ended, 0)
  await cluster.down()
  t.same(machineState(), before)
})

t.test('up again works at once after an interrupted one, and kill -9 of a running cluster can be taken down', async (t) => {
  const cluster = new Cluster('e2e-cut')
  const first = spawn(join(root, 'fairway'), ['up', '--name', cluster.name], { env: { ...process.env, ...cluster.env, FAIRWAY_SKIP_SETUP: '1' }, stdio: 'ignore' })
  await new Promise((resolve) => setTimeout(resolve, 2000))
  first.kill('SIGKILL')
  const again = await cluster.fairway(['up', '--name', cluster.name])
  t.equal(again.code, 0, again.stderr + again.stdout)
  t.match(await cluster.kubectl(['get', 'nodes']), /Ready[\s\S]*Ready/)
  for (const pid of processesOf(cluster.name)) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
  const ran = await cluster.down()
  t.equal(ran.code, 0, ran.stderr)
  t.same(machineState(), before)
})
