/** A machine that is started again: every process of the cluster is gone, its files are there, and `up` makes of them what they were. */
import { readFileSync, readdirSync } from 'node:fs'
import t from 'tap'
import { eventually, upCluster } from '../support/cluster.ts'

const cluster = await upCluster(t, 'e2e-restart')

function killEverything(): void {
  for (const pid of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry)).map(Number)) {
    try {
      if (readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`FAIRWAY_CLUSTER=${cluster.name}\0`)) process.kill(pid, 'SIGKILL')
    } catch (error) {
      if (!['ENOENT', 'ESRCH', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error // it ended meanwhile
    }
  }
}

t.test('up after everything was killed brings back objects, credentials, pods and paths between them', async (t) => {
  await cluster.kubectl(['apply', '-f', 'examples/web.yaml', '-f', 'examples/client.yaml'])
  await cluster.kubectl(['rollout', 'status', 'deployment/web', '--timeout=60s'])
  await cluster.kubectl(['wait', 'pod/client', '--for=condition=Ready', '--timeout=60s'])
  const uids = (): Promise<string> => cluster.kubectl(['get', 'nodes,services,deployments', '-o', 'jsonpath={.items[*].metadata.uid}'])
  const before = await uids()
  const credentials = readFileSync(cluster.kubeconfig, 'utf8')
  killEverything()
  const stopped = await cluster.fairway(['status', '--name', cluster.name])
  t.equal(stopped.code, 1)
  t.match(stopped.stdout, /node-1 .*stopped/)
  const ran = await cluster.fairway(['up', '--name', cluster.name])
  t.equal(ran.code, 0, ran.stderr + ran.stdout)
  t.equal(await uids(), before)
  t.equal(readFileSync(cluster.kubeconfig, 'utf8'), credentials)
  await eventually('the client reaches the web again', async () => (await cluster.exec('client', ['wget', '-q', '-O', '-', '-T', '2', 'http://web/'])).startsWith('web-'), 60_000, 500)
  t.equal((await cluster.fairway(['status', '--name', cluster.name])).code, 0)
})

t.test('a stopped control plane is named by node start, and comes back by it', async (t) => {
  t.equal((await cluster.fairway(['node', 'stop', '--name', cluster.name, 'control-plane'])).code, 0)
  t.equal((await cluster.fairway(['node', 'stop', '--name', cluster.name, 'node-1'])).code, 0)
  const early = await cluster.fairway(['node', 'start', '--name', cluster.name, 'node-1'])
  t.equal(early.code, 1)
  t.match(early.stderr, /control plane is stopped; 'fairway node start --name e2e-restart control-plane'/)
  for (const host of ['control-plane', 'node-1']) {
    const started = await cluster.fairway(['node', 'start', '--name', cluster.name, host])
    t.equal(started.code, 0, started.stderr)
  }
  await cluster.kubectl(['wait', 'node/node-1', '--for=condition=Ready', '--timeout=30s'])
})
