/** kubectl through a real API server to a kubelet: logs, exec, attach and port-forward on a container engine of the test's own. */
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import t from 'tap'
import { Client } from '../../api/client.ts'
import { systemClock } from '../../api/clock.ts'
import { createLogger } from '../../api/log.ts'
import { pods, serviceAccounts } from '../../api/resources.ts'
import type { Pod, PodSpec } from '../../api/types.ts'
import { startApiServer } from '../../controlplane/apiserver/index.ts'
import { openCredentials } from '../../controlplane/apiserver/pki/credentials.ts'
import { openMemoryStore } from '../../controlplane/store/index.ts'
import { eventually, kubectlPath, run } from '../../test/support/cluster.ts'
import { createDockerRuntime, startKubelet } from '../index.ts'
import { startEngine, writeFakeCni } from '../test-support/engine.ts'

const engine = await startEngine('kubelet-server')
const store = openMemoryStore()
const log = createLogger({ level: process.env['DEBUG'] === undefined ? 'error' : 'debug' })
const shared = { clock: systemClock, random: Math.random, log }
const dataDir = join(engine.directory, 'api')
const api = await startApiServer({ store, dataDir, bind: '127.0.0.1', port: 0, ...shared })
const { authority } = await openCredentials({ dataDir, serverNames: ['127.0.0.1'], now: () => Date.now() })
const serving = await authority.issue({ subject: { commonName: 'system:node:node-1', organizations: ['system:nodes'] }, usages: ['client', 'server'], names: ['127.0.0.1'], validMs: 3_600_000 })
const kubelet = await startKubelet({
  client: new Client(api.transport({ name: 'system:node:node-1', groups: ['system:nodes', 'system:authenticated'] })),
  nodeName: 'node-1', nodeAddresses: ['127.0.0.1'], dataDir: join(engine.directory, 'kubelet'), cni: writeFakeCni(engine.directory), clusterDns: ['10.96.0.10'],
  runtime: createDockerRuntime({ socketPath: engine.socketPath }),
  server: { address: '127.0.0.1', port: 0, ...serving, clientCa: authority.certificate }, ...shared,
})
t.teardown(async () => {
  await kubelet.stop()
  await api.stop()
  await store.close()
  await engine.stop()
})

const kubeconfig = join(engine.directory, 'kubeconfig')
writeFileSync(kubeconfig, api.adminKubeconfig())
const env = { KUBECONFIG: kubeconfig }
type Age = Parameters<typeof kubectlPath>[0]
/** WebSocket, and SPDY/3.1 all the way. */
const clients: readonly { readonly version: string; readonly age: Age }[] = [{ version: 'kubectl 1.35', age: 'new' }, { version: 'kubectl 1.20', age: 'old' }]
const kubectlWith = (age: Age) => (...args: string[]): ReturnType<typeof run> => run(kubectlPath(age), args, { env, timeoutMs: 20_000 })
const admin = new Client(api.transport({ name: 'admin', groups: ['system:masters', 'system:authenticated'] }))
if ((await admin.list(serviceAccounts, { namespace: 'default' })).items.length === 0) await admin.create(serviceAccounts, { metadata: { name: 'default', namespace: 'default' } })

async function create(name: string, spec: PodSpec): Promise<void> {
  const pod: Pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'default' }, spec: { nodeName: 'node-1', terminationGracePeriodSeconds: 1, automountServiceAccountToken: false, ...spec } }
  await admin.create(pods, pod)
  await eventually(`${name} has started`, async () => ['Running', 'Succeeded'].includes((await admin.get(pods, { namespace: 'default', name })).status?.phase ?? ''))
}

await create('web', { containers: [{ name: 'main', image: 'busybox:1', command: ['sh', '-c', 'echo begun; mkdir -p /www; echo page >/www/index.html; httpd -p 8080 -h /www; exec sleep 3600'] }] })
await create('talker', { restartPolicy: 'Never', containers: [{ name: 'main', image: 'busybox:1', command: ['sh', '-c', 'for i in 1 2 3 4 5; do echo line $i; sleep 0.1; done'] }] })

for (const { version, age } of clients) {
  const kubectl = kubectlWith(age)

  t.test(`${version}: logs come whole, by tail, by bytes, with times, and as they are written`, async (t) => {
    t.equal((await kubectl('logs', '-f', 'talker')).stdout, 'line 1\nline 2\nline 3\nline 4\nline 5\n')
    t.equal((await kubectl('logs', 'talker', '--tail=2')).stdout, 'line 4\nline 5\n')
    t.equal((await kubectl('logs', 'talker', '--limit-bytes=8')).stdout, 'line 1\nl')
    t.match((await kubectl('logs', 'talker', '--timestamps', '--tail=1')).stdout, /^20\d\d-\S+Z line 5\n$/)
    t.equal((await kubectl('logs', 'talker', '--since=1h')).stdout.split('\n').length, 6)
    t.match((await kubectl('logs', 'talker', '--previous')).stderr, /previous terminated container "main" in pod "talker" not found/)
  })

  t.test(`${version}: exec passes input, both outputs and the exit code`, async (t) => {
    const ran = await run(kubectlPath(age), ['exec', '-i', 'web', '--', 'sh', '-c', 'cat; echo problem >&2; exit 7'], { env, input: 'from outside' })
    t.match(ran, { code: 7, stdout: 'from outside' })
    t.match(ran.stderr, /problem/)
    const large = await run(kubectlPath(age), ['exec', '-i', 'web', '--', 'cat'], { env, input: 'x'.repeat(3_000_000) })
    t.equal(large.stdout.length, 3_000_000)
  })

  t.test(`${version}: exec says what is not there`, async (t) => {
    t.match((await kubectl('exec', 'talker', '--', 'true')).stderr, /not running|completed/)
    t.not((await kubectl('exec', 'web', '--', 'no-such-program')).code, 0)
  })

  t.test(`${version}: attach joins the container itself`, async (t) => {
    await create(`listener-${age ?? ''}`, { containers: [{ name: 'main', image: 'busybox:1', command: ['sh', '-c', 'read line; echo heard $line; sleep 3600'], stdin: true }] })
    const child = spawn(kubectlPath(age), ['attach', '-i', `listener-${age ?? ''}`], { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'ignore'] })
    let heard = ''
    child.stdout.on('data', (data: Buffer) => (heard += data.toString()))
    const writing = setInterval(() => child.stdin.write('you\n'), 200)
    await eventually('an answer', () => heard.includes('heard you'))
    clearInterval(writing)
    child.kill()
    t.pass('heard')
  })

  t.test(`${version}: port-forward carries connections, and says why one fails`, async (t) => {
    const child = spawn(kubectlPath(age), ['port-forward', 'web', ':8080', ':81'], { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    let said = ''
    let complained = ''
    child.stdout.on('data', (data: Buffer) => (said += data.toString()))
    child.stderr.on('data', (data: Buffer) => (complained += data.toString()))
    const port = async (to: number): Promise<string> => (await eventually(`forwarding to ${to}`, () => new RegExp(`127\\.0\\.0\\.1:(\\d+) -> ${to}\\b`).exec(said)?.[1])).value
    const url = `http://127.0.0.1:${await port(8080)}/index.html`
    for (const answer of await Promise.all([fetch(url), fetch(url), fetch(url)])) t.equal(await answer.text(), 'page\n')
    await t.rejects(fetch(`http://127.0.0.1:${await port(81)}/`))
    await eventually('a complaint', () => /error forwarding port 81/.test(complained))
    child.kill()
  })
}

t.test('only the API server is let in', async (t) => {
  const { port } = (await admin.list({ group: '', version: 'v1', plural: 'nodes', kind: 'Node', namespaced: false })).items
    .map((node) => ({ port: (node as { status?: { daemonEndpoints?: { kubeletEndpoint?: { Port: number } } } }).status?.daemonEndpoints?.kubeletEndpoint?.Port ?? 0 }))[0] ?? { port: 0 }
  const ask = (credentials: { cert?: string; key?: string }, path = '/healthz'): Promise<{ status: number; body: string }> => new Promise((resolve, reject) => {
    const outgoing = request({ host: '127.0.0.1', port, path, ca: authority.certificate, agent: false, ...credentials }, (response) => {
      let body = ''
      response.on('data', (data: Buffer) => (body += data.toString()))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
    })
    outgoing.on('error', reject)
    outgoing.end()
  })
  const as = async (organization: string): Promise<{ cert: string; key: string }> => {
    const { certificate, key } = await authority.issue({ subject: { commonName: 'test', organizations: [organization] }, usages: ['client'], validMs: 3_600_000 })
    return { cert: certificate, key }
  }
  const masters = await as('system:masters')
  t.same(await ask(masters), { status: 200, body: 'ok' })
  t.equal((await ask(await as('system:nodes'))).status, 403)
  await t.rejects(ask({}))
  const summary = JSON.parse((await ask(masters, '/stats/summary')).body) as { node: object; pods: { podRef: { name: string } }[] }
  t.match(summary.node, { nodeName: 'node-1', memory: { workingSetBytes: Number } })
  t.match(summary.pods.find(({ podRef }) => podRef.name === 'web'), { containers: [{ name: 'main', memory: { workingSetBytes: Number } }] })
  t.equal((await ask(masters, '/containerLogs/default/web/absent')).status, 400)
  t.equal((await ask(masters, '/exec/default/web/main')).status, 400, 'without an upgrade')
  t.equal((await ask(masters, '/nothing')).status, 404)
})
