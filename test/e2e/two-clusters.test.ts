/** Two clusters of different names live side by side, and one goes without touching the other. */
import t from 'tap'
import { Cluster, upCluster } from '../support/cluster.ts'
import { machineState } from '../support/machine-state.ts'
import type { MachineState } from '../support/machine-state.ts'

const before = machineState()

/** What is there beside the files that a running cluster writes for itself whenever it likes. */
function besideFilesOf(cluster: string): MachineState {
  const state = machineState()
  return { ...state, files: state.files.filter((file) => !file.startsWith(`/var/lib/fairway/clusters/${cluster}/`)) }
}

t.test('two clusters serve side by side, and one goes without the other', async (t) => {
  const first = await upCluster(t, 'e2e-left', ['--nodes', '1'])
  const withFirst = besideFilesOf('e2e-left')
  const second = new Cluster('e2e-right')
  const ran = await second.fairway(['up', '--name', second.name, '--nodes', '1'])
  t.equal(ran.code, 0, ran.stderr)
  for (const cluster of [first, second]) {
    await cluster.kubectl(['create', 'configmap', `of-${cluster.name}`])
    t.match(await cluster.kubectl(['get', 'nodes', '--no-headers']), / Ready /)
  }
  t.notMatch(await second.kubectl(['get', 'configmaps', '-o', 'name']), /of-e2e-left/)
  t.equal((await second.down()).code, 0)
  t.same(besideFilesOf('e2e-left'), withFirst)
  t.match(await first.kubectl(['get', 'configmaps', '-o', 'name']), /of-e2e-left/)
})

t.test('after both are gone the machine is as before', (t) => {
  t.same(machineState(), before)
  t.end()
})
