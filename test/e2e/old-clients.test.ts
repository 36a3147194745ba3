/** Clients of the past and of today against one cluster: kubectl 1.20, which speaks SPDY, and Helm 3.8 beside 4.1 with hooks and `--wait`. */
import { spawn } from 'node:child_process'
import t from 'tap'
import { eventually, helmPath, kubectlPath, run, upCluster } from '../support/cluster.ts'

const cluster = await upCluster(t, 'e2e-old', ['--nodes', '1'])
const context = `fairway-${cluster.name}`

async function kubectl(args: readonly string[], input = ''): Promise<string> {
  const ran = await run(kubectlPath('old'), ['--context', context, ...args], { env: cluster.env, input, timeoutMs: 90_000 })
  if (ran.code !== 0) throw new Error(`kubectl ${args.join(' ')} ended with ${ran.code}: ${ran.stderr}${ran.stdout}`)
  return ran.stdout
}

t.test('kubectl 1.20 applies, waits for a rollout, looks back at it and undoes it', async (t) => {
  t.match(await kubectl(['version', '--short']), /Client Version: v1\.20\.\d+\nServer Version: v1\.3\d/)
  t.match(await kubectl(['apply', '-f', 'examples/web.yaml']), /deployment\.apps\/web created\nservice\/web created/)
  t.match(await kubectl(['apply', '-f', 'examples/web.yaml']), /deployment\.apps\/web unchanged/)
  t.match(await kubectl(['rollout', 'status', 'deployment/web', '--timeout=60s']), /successfully rolled out/)
  await kubectl(['set', 'env', 'deployment/web', 'COLOUR=blue'])
  t.match(await kubectl(['rollout', 'status', 'deployment/web', '--timeout=60s']), /successfully rolled out/)
  t.match(await kubectl(['rollout', 'history', 'deployment/web']), /^1 [\s\S]*^2 /m)
  t.match(await kubectl(['rollout', 'undo', 'deployment/web']), /rolled back/)
  t.match(await kubectl(['rollout', 'status', 'deployment/web', '--timeout=60s']), /successfully rolled out/)
  t.notMatch(await kubectl(['get', 'deployment', 'web', '-o', 'yaml']), /COLOUR/)
})

t.test('kubectl 1.20 gets, describes, scales, labels, explains and finds no API that is gone', async (t) => {
  t.match(await kubectl(['get', 'pods,svc,nodes', '-o', 'wide']), /pod\/web-\S+ +2\/2 +Running[\s\S]*service\/web +ClusterIP[\s\S]*node\/\S+ +Ready/)
  t.match(await kubectl(['describe', 'deployment', 'web']), /Replicas: +2 desired[\s\S]*ScalingReplicaSet/)
  t.match(await kubectl(['describe', 'pods', '-l', 'app=web']), /Status: +Running[\s\S]*Events:[\s\S]*Started/)
  t.match(await kubectl(['describe', 'node']), /Allocated resources/)
  await kubectl(['scale', 'deployment/web', '--replicas=1'])
  await kubectl(['label', 'deployment', 'web', 'tier=front'])
  t.equal(await kubectl(['get', 'deploy', 'web', '-o', 'jsonpath={.spec.replicas}{.metadata.labels.tier}']), '1front')
  t.match(await kubectl(['explain', 'deployment.spec.replicas']), /FIELD: +replicas <integer>/)
  const versions = await kubectl(['api-versions'])
  t.match(versions, /^apps\/v1$/m)
  t.notMatch(versions, /^(extensions|apps|policy|batch|networking\.k8s\.io)\/v\dbeta/m)
  await t.rejects(kubectl(['create', 'cronjob', 'old', '--image=busybox:1', '--schedule=* * * * *']), /could not find the requested resource/, 'it would be batch/v1beta1')
})

t.test('kubectl 1.20 talks to containers over SPDY', async (t) => {
  const ran = await run(kubectlPath('old'), ['--context', context, 'exec', '-i', 'deploy/web', '--', 'sh', '-c', 'cat; echo problem >&2; exit 7'], { env: cluster.env, input: 'from outside' })
  t.match(ran, { code: 7, stdout: 'from outside', stderr: /problem/ })
  t.match(await kubectl(['run', 'once', '--image=busybox:1', '--restart=Never', '-i', '--rm', '--', 'sh', '-c', 'read line; echo heard $line'], 'you\n'), /heard you/)
  await kubectl(['run', 'restless', '--image=busybox:1', '--restart=Always', '--', 'sh', '-c', 'echo attempt; sleep 1'])
  await eventually('it has been started again', async () => Number(await kubectl(['get', 'pod', 'restless', '-o', 'jsonpath={.status.containerStatuses[0].restartCount}'])) > 0)
  t.equal(await kubectl(['logs', 'restless', '--previous']), 'attempt\n')
  t.equal(await kubectl(['logs', 'restless', '--previous', '--since-time=2100-01-01T00:00:00Z']), '')
  const forward = spawn(kubectlPath('old'), ['--context', context, 'port-forward', 'deploy/web', ':8080'], { env: { ...process.env, ...cluster.env }, stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => void forward.kill())
  let said = ''
  forward.stdout.on('data', (data: Buffer) => (said += data.toString()))
  const { value: port } = await eventually('forwarding', () => /127\.0\.0\.1:(\d+)/.exec(said)?.[1])
  t.equal((await fetch(`http://127.0.0.1:${port}/`)).status, 200)
})

for (const [version, age] of [['3.8', 'old'], ['4.1', 'new']] as const) {
  t.test(`Helm ${version} installs, upgrades, rolls back and uninstalls a chart with a hook, waiting each time`, async (t) => {
    const name = `site-${age}`
    const helm = async (...args: string[]): Promise<string> => {
      const ran = await run(helmPath(age), [...args, '--kube-context', context], { env: { ...cluster.env, HOME: t.testdir() }, timeoutMs: 120_000 })
      if (ran.code !== 0) throw new Error(`helm ${args.join(' ')} ended with ${ran.code}: ${ran.stderr}`)
      return ran.stdout
    }
    const available = (): Promise<string> => kubectl(['get', 'deploy', name, '-o', 'jsonpath={.status.availableReplicas}/{.status.updatedReplicas}'])
    const hook = (): Promise<string> => kubectl(['get', 'job', `${name}-check`, '-o', 'jsonpath={.status.succeeded}/{.metadata.uid}'])
    t.match(await helm('version', '--short'), `v${version}.`)
    t.match(await helm('install', name, 'examples/chart', '--set', 'check=true', '--wait', '--timeout', '90s'), /STATUS: deployed/)
    t.equal(await available(), '2/2', 'it has waited')
    const first = await hook()
    t.match(first, /^1\//, 'the hook has succeeded')
    t.match(await helm('upgrade', name, 'examples/chart', '--set', 'check=true,replicas=3,text=changed', '--wait', '--timeout', '90s'), /REVISION: 2/)
    t.equal(await available(), '3/3')
    const second = await hook()
    t.match(second, /^1\//)
    t.not(second, first, 'the hook of before was deleted')
    t.match(await helm('rollback', name, '1', '--wait', '--timeout', '90s'), /Rollback was a success/)
    await eventually('two replicas', async () => (await available()) === '2/2')
    t.match(await helm('history', name), /1 +.*superseded[\s\S]*3 +.*deployed/)
    t.match(await helm('uninstall', name, '--wait', '--timeout', '60s'), /uninstalled/)
    t.equal(await kubectl(['get', 'deploy,svc,cm', '-l', `app.kubernetes.io/instance=${name}`, '-o', 'name']), '')
  })
}
