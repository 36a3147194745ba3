/** Pods of a whole kubelet on a real container engine, with an API server and a network of the test's own. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Client } from '../api/client.ts'
import { systemClock } from '../api/clock.ts'
import type { Component } from '../api/component.ts'
import { createLogger } from '../api/log.ts'
import type { ContainerStatus, Event, Lease, Node, Pod, PodSpec } from '../api/types.ts'
import { createDockerRuntime, startKubelet } from './index.ts'
import { startEngine, writeFakeCni } from './test-support/engine.ts'
import { FakeApi } from './test-support/fake-api.ts'

const engine = await startEngine('kubelet')
const api = new FakeApi()
const cni = writeFakeCni(engine.directory)
const runtime = createDockerRuntime({ socketPath: engine.socketPath })
const resolvConf = join(engine.directory, 'resolv.conf')
writeFileSync(resolvConf, 'nameserver 192.0.2.53\nsearch example.com\n')

function start(): Promise<Component> {
  return startKubelet({
    client: new Client(api.transport), nodeName: 'node-1', nodeAddresses: ['192.0.2.1'], runtime, dataDir: join(engine.directory, 'kubelet'), cni,
    clusterDns: ['10.96.0.10'], resolvConf, clock: systemClock, random: Math.random,
    log: createLogger({ level: process.env['DEBUG'] === undefined ? 'error' : 'debug' }),
  })
}

let kubelet = await start()
t.teardown(async () => {
  await kubelet.stop()
  await engine.stop()
})

async function eventually<T>(what: string, check: () => T | undefined | false, timeoutMs = 20_000): Promise<T> {
  const until = performance.now() + timeoutMs
  for (;;) {
    const value = check()
    if (value !== undefined && value !== false) return value
    if (performance.now() > until) throw new Error(`Not within ${timeoutMs} ms: ${what}\n${JSON.stringify(api.list<Pod>('pods').map(({ metadata, status }) => [metadata.name, status]), undefined, 1)}\n${eventsOf().join('\n')}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

function eventsOf(pod?: string): string[] {
  return api.list<Event>('events').filter(({ involvedObject }) => pod === undefined || involvedObject.name === pod).map(({ reason, message }) => `${reason}: ${message}`)
}

function create(name: string, spec: PodSpec, metadata: Pod['metadata'] = {}): Pod {
  return api.put<Pod>('pods', { kind: 'Pod', metadata: { name, namespace: 'default', ...metadata }, spec: { nodeName: 'node-1', terminationGracePeriodSeconds: 1, ...spec }, status: { phase: 'Pending' } })
}

function condition(name: string, type = 'Ready'): string | undefined {
  return api.pod(name)?.status?.conditions?.find((entry) => entry.type === type)?.status
}

const isReady = (name: string) => (): boolean => condition(name) === 'True'
const status = (name: string): ContainerStatus | undefined => api.pod(name)?.status?.containerStatuses?.[0]

async function output(name: string, ...command: string[]): Promise<string> {
  const id = status(name)?.containerID?.replace('docker://', '') ?? ''
  const { stdout, stderr, exitCode } = await runtime.execSync(id, command, 5000)
  return exitCode === 0 ? stdout.toString() : `${exitCode}: ${stderr.toString()}`
}

t.test('the node is registered, ready, and holds a lease', async (t) => {
  const node = await eventually('a ready node', () => {
    const found = api.get<Node>('nodes', '', 'node-1')
    return found?.status?.conditions?.find(({ type }) => type === 'Ready')?.status === 'True' && found
  })
  t.match(node.metadata.labels, { 'kubernetes.io/hostname': 'node-1', 'kubernetes.io/os': 'linux' })
  t.match(node.status, { addresses: [{ type: 'InternalIP', address: '192.0.2.1' }, { type: 'Hostname', address: 'node-1' }], nodeInfo: { containerRuntimeVersion: /^docker:/ }, capacity: { pods: '110' } })
  const lease = await eventually('a lease', () => api.get<Lease>('leases', 'kube-node-lease', 'node-1'))
  t.match(lease.spec, { holderIdentity: 'node-1', leaseDurationSeconds: 40 })
})

t.test('a pod comes up: init container, environment, volumes, names, addresses', async (t) => {
  api.put('configmaps', { metadata: { name: 'settings', namespace: 'default' }, data: { colour: 'green' } })
  api.put('secrets', { metadata: { name: 'keys', namespace: 'default' }, data: { password: Buffer.from('sesame').toString('base64') } })
  const began = performance.now()
  create('whole', {
    initContainers: [{ name: 'first', image: 'busybox:1', command: ['sh', '-c', 'echo from-init >/scratch/made'], volumeMounts: [{ name: 'scratch', mountPath: '/scratch' }] }],
    containers: [{
      name: 'main', image: 'busybox:1', command: ['sleep', '3600'],
      env: [{ name: 'COLOUR', valueFrom: { configMapKeyRef: { name: 'settings', key: 'colour' } } }, { name: 'MY_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } }, { name: 'BOTH', value: '$(COLOUR)-$(MY_IP)' }],
      volumeMounts: [{ name: 'scratch', mountPath: '/scratch' }, { name: 'keys', mountPath: '/keys', readOnly: true }, { name: 'token', mountPath: '/token' }, { name: 'settings', mountPath: '/settings' }],
      resources: { limits: { memory: '64Mi', cpu: '500m' } },
    }],
    volumes: [
      { name: 'scratch', emptyDir: {} }, { name: 'keys', secret: { secretName: 'keys' } }, { name: 'settings', configMap: { name: 'settings' } },
      { name: 'token', projected: { sources: [{ serviceAccountToken: { path: 'token' } }, { downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] } }] } },
    ],
  }, { labels: { app: 'whole' } })
  await eventually('ready', isReady('whole'))
  t.comment(`ready after ${Math.round(performance.now() - began)} ms`)
  const pod = api.pod('whole')
  const ip = pod?.status?.podIP ?? ''
  t.match(ip, /^10\.99\.0\.\d+$/)
  t.match(pod?.status, { phase: 'Running', hostIP: '192.0.2.1', podIPs: [{ ip }], qosClass: 'Burstable', initContainerStatuses: [{ name: 'first', ready: true, state: { terminated: { reason: 'Completed' } } }] })
  t.equal(await output('whole', 'sh', '-c', 'echo $BOTH; cat /scratch/made /keys/password /settings/colour /token/token /token/labels'), `green-${ip}\nfrom-init\nsesamegreentoken-of-defaultapp="whole"`)
  t.match(await output('whole', 'cat', '/etc/hosts'), `${ip}\twhole`)
  t.equal(await output('whole', 'cat', '/etc/resolv.conf'), 'nameserver 10.96.0.10\nsearch default.svc.cluster.local svc.cluster.local cluster.local example.com\noptions ndots:5\n')
  t.equal(await output('whole', 'hostname'), 'whole\n')
  await eventually('events', () => ['Pulled', 'Created', 'Started'].every((reason) => eventsOf('whole').some((line) => line.startsWith(reason))))
})

t.test('a config map that changes reaches the files of a running pod', async (t) => {
  api.put('configmaps', { metadata: { name: 'settings', namespace: 'default' }, data: { colour: 'blue' } })
  for (let attempt = 0; attempt < 100 && (await output('whole', 'cat', '/settings/colour')) !== 'blue'; attempt += 1) await new Promise((resolve) => setTimeout(resolve, 20))
  t.equal(await output('whole', 'cat', '/settings/colour'), 'blue')
})

t.test('a killed container is started again at once, and then with back-off', async (t) => {
  create('crashing', { containers: [{ name: 'main', image: 'busybox:1', command: ['sh', '-c', 'echo started; sleep 3600'] }] })
  await eventually('ready', isReady('crashing'))
  engine.docker('kill', status('crashing')?.containerID?.replace('docker://', '') ?? '')
  await eventually('one restart', () => status('crashing')?.restartCount === 1 && isReady('crashing')())
  t.match(status('crashing')?.lastState?.terminated, { exitCode: 137 })
  engine.docker('kill', status('crashing')?.containerID?.replace('docker://', '') ?? '')
  await eventually('back-off', () => status('crashing')?.state?.waiting?.reason === 'CrashLoopBackOff')
  t.equal(condition('crashing'), 'False')
  await eventually('an event', () => eventsOf('crashing').some((line) => line.startsWith('BackOff: Back-off restarting failed container main')))
})

t.test('probes decide on readiness and on restarts', async (t) => {
  create('probed', {
    containers: [{
      name: 'main', image: 'busybox:1', command: ['sleep', '3600'],
      readinessProbe: { exec: { command: ['test', '-e', '/tmp/ready'] }, periodSeconds: 1, failureThreshold: 1 },
      livenessProbe: { exec: { command: ['test', '!', '-e', '/tmp/dead'] }, periodSeconds: 1, failureThreshold: 1 },
    }],
  })
  await eventually('running, not ready', () => api.pod('probed')?.status?.phase === 'Running' && condition('probed') === 'False')
  await output('probed', 'touch', '/tmp/ready')
  await eventually('ready', isReady('probed'))
  await output('probed', 'rm', '/tmp/ready')
  await eventually('not ready', () => condition('probed') === 'False')
  await output('probed', 'touch', '/tmp/dead')
  await eventually('a restart', () => status('probed')?.restartCount === 1)
  await eventually('events', () => eventsOf('probed').some((line) => line.startsWith('Unhealthy: Readiness probe failed')) && eventsOf('probed').some((line) => line === 'Killing: Container main failed liveness probe, will be restarted'))
  t.pass('restarted')
})

t.test('pods that end say how', async (t) => {
  create('good', { restartPolicy: 'Never', containers: [{ name: 'main', image: 'busybox:1', command: ['sh', '-c', 'echo bye >/dev/termination-log'] }] })
  create('bad', { restartPolicy: 'Never', containers: [{ name: 'main', image: 'busybox:1', command: ['sh', '-c', 'exit 3'] }] })
  create('missing', { containers: [{ name: 'main', image: 'nowhere.invalid/none:1', imagePullPolicy: 'Never' }] })
  create('unconfigured', { containers: [{ name: 'main', image: 'busybox:1', env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'absent', key: 'a' } } }] }] })
  await eventually('succeeded', () => api.pod('good')?.status?.phase === 'Succeeded')
  t.match(status('good')?.state?.terminated, { exitCode: 0, reason: 'Completed', message: 'bye\n' })
  await eventually('failed', () => api.pod('bad')?.status?.phase === 'Failed')
  t.match(status('bad')?.state?.terminated, { exitCode: 3, reason: 'Error' })
  await eventually('no image', () => status('missing')?.state?.waiting?.reason === 'ErrImageNeverPull')
  await eventually('no config', () => status('unconfigured')?.state?.waiting?.reason === 'CreateContainerConfigError')
  t.equal(status('unconfigured')?.state?.waiting?.message, 'configmap "absent" not found')
  for (const name of ['good', 'bad', 'missing', 'unconfigured']) api.delete('pods', 'default', name, 1)
  await eventually('all gone', () => ['good', 'bad', 'missing', 'unconfigured'].every((name) => api.pod(name) === undefined))
})

t.test('deletion asks first, and leaves nothing', async (t) => {
  create('polite', { terminationGracePeriodSeconds: 20, containers: [{ name: 'main', image: 'busybox:1', command: ['sh', '-c', 'trap "echo asked; exit 0" TERM; while :; do sleep 0.1; done'] }] })
  await eventually('ready', isReady('polite'))
  const uid = api.pod('polite')?.metadata.uid ?? ''
  api.delete('pods', 'default', 'polite', 20)
  await eventually('gone', () => api.pod('polite') === undefined)
  await eventually('no containers', () => engine.docker('ps', '-aq', '--filter', `label=io.kubernetes.pod.uid=${uid}`) === '')
  await eventually('an event', () => eventsOf('polite').includes('Killing: Stopping container main'))
  t.pass('gone')
})

t.test('a kubelet that returns takes up what runs, and ends what nobody wants any more', async (t) => {
  create('stays', { containers: [{ name: 'main', image: 'busybox:1', command: ['sleep', '3600'], readinessProbe: { exec: { command: ['true'] }, periodSeconds: 60 } }] })
  create('leaves', { containers: [{ name: 'main', image: 'busybox:1', command: ['sleep', '3600'] }] })
  await eventually('both ready', () => isReady('stays')() && isReady('leaves')())
  const before = status('stays')?.containerID
  const left = api.pod('leaves')?.metadata.uid ?? ''
  await kubelet.stop()
  api.delete('pods', 'default', 'leaves')
  const seen: (string | undefined)[] = []
  kubelet = await start()
  await eventually('the orphan is gone', () => {
    seen.push(condition('stays'))
    return engine.docker('ps', '-aq', '--filter', `label=io.kubernetes.pod.uid=${left}`) === ''
  })
  t.equal(status('stays')?.containerID, before)
  t.notOk(seen.includes('False'), 'it stayed ready')
})

t.test('an API server that is away stops nothing, and hears of everything when it returns', async (t) => {
  api.isAway = true
  engine.docker('kill', status('stays')?.containerID?.replace('docker://', '') ?? '')
  await eventually('another container runs', () => engine.docker('ps', '-q', '--filter', 'name=k8s_main_stays_.*_1$') !== '')
  api.isAway = false
  await eventually('the restart is told', () => status('stays')?.restartCount === 1, 30_000)
  t.pass('told')
})

t.test('pods that are deleted give back their network', async (t) => {
  for (const { metadata } of api.list<Pod>('pods')) api.delete('pods', 'default', metadata.name ?? '', 1)
  await eventually('no pod is left', () => api.list('pods').length === 0)
  await eventually('no container is left', () => engine.docker('ps', '-aq') === '')
  t.same(cni.attached(), [])
  rmSync(resolvConf)
})
