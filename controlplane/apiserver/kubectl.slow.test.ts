// kubectl 1.35 as it is, against a server of our own.
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { kubectlPath, run } from '../../test/support/cluster.ts'
import type { Ran } from '../../test/support/cluster.ts'
import { startTestServer } from './test-support/server.ts'

type Kubectl = (args: string, input?: string) => Promise<Ran>

/** kubectl with a home of its own, so that it reads and leaves nothing elsewhere. */
function kubectlWith(t: Test, kubeconfig: string): Kubectl {
  const home = mkdtempSync(join(tmpdir(), 'fairway-kubectl-'))
  t.teardown(() => rmSync(home, { recursive: true, force: true }))
  writeFileSync(join(home, 'config'), kubeconfig)
  return (args, input = '') => run(kubectlPath(), args.split(' '), { input, timeoutMs: 20_000, env: { HOME: home, KUBECONFIG: join(home, 'config') } })
}

async function cluster(t: Test): Promise<{ kubectl: Kubectl; ok: (args: string, input?: string) => Promise<string> }> {
  const { server } = await startTestServer(t)
  const kubectl = kubectlWith(t, server.adminKubeconfig())
  const ok = async (args: string, input?: string): Promise<string> => {
    const { code, stdout, stderr } = await kubectl(args, input)
    if (code !== 0) throw new Error(`kubectl ${args} ended with ${code}: ${stderr}`)
    t.equal(stderr.replaceAll(/^(?:All|Some) .*\n/gm, ''), '', `kubectl ${args} has nothing to complain about`)
    return stdout
  }
  return { kubectl, ok }
}

const manifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: a, image: "busybox:1", ports: [{containerPort: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080}]
`

t.test('apply creates, then changes only what changed, then nothing', async (t) => {
  const { ok, kubectl } = await cluster(t)
  t.equal(await ok('apply -f -', manifest), 'deployment.apps/web created\nservice/web created\n')
  t.equal(await ok('apply -f -', manifest), 'deployment.apps/web unchanged\nservice/web unchanged\n')
  const changed = manifest.replace('busybox:1', 'busybox:2').replace('{name: http, port: 80, targetPort: 8080}', '{name: http, port: 81}')
  t.equal((await kubectl('diff -f -', changed)).code, 1, 'a difference')
  t.equal(await ok('apply -f -', changed), 'deployment.apps/web configured\nservice/web configured\n')
  t.equal(await ok('get deploy/web svc/web -o jsonpath={.items[*].spec.template.spec.containers[*].image}/{.items[*].spec.ports[*].port}'), 'busybox:2/81')
  t.equal(await ok('delete -f -', changed), 'deployment.apps "web" deleted from default namespace\nservice "web" deleted from default namespace\n')
})

t.test('server-side apply creates, tells conflicts, takes over what client-side apply left, and what is no longer applied goes', async (t) => {
  const { ok, kubectl } = await cluster(t)
  t.equal(await ok('apply --server-side -f -', manifest), 'deployment.apps/web serverside-applied\nservice/web serverside-applied\n')
  t.equal(await ok('apply --server-side -f -', manifest), 'deployment.apps/web serverside-applied\nservice/web serverside-applied\n')
  t.equal(await ok('get deploy web -o jsonpath={.metadata.generation}/{.metadata.managedFields[*].operation}'), '1/Apply')
  t.notMatch(await ok('get deploy web -o yaml'), /managedFields/)
  await ok('scale deploy web --replicas=5')
  const refused = await kubectl('apply --server-side -f -', manifest)
  t.match(refused, { code: 1, stderr: /Apply failed with 1 conflict: conflict with "kubectl" with subresource "scale" using apps\/v1: \.spec\.replicas/ })
  await ok('apply --server-side --force-conflicts -f -', manifest)
  t.equal(await ok('get deploy web -o jsonpath={.spec.replicas}'), '2')
  await ok('apply --server-side -f -', manifest.replace('  replicas: 2\n', ''))
  t.equal(await ok('get deploy web -o jsonpath={.spec.replicas}'), '1', 'nobody says how many: the default')
  const older = manifest.replaceAll('name: web', 'name: old')
  await ok('apply -f -', older)
  t.equal(await ok('apply --server-side -f -', older.replace('busybox:1', 'busybox:2')), 'deployment.apps/old serverside-applied\nservice/old serverside-applied\n')
  t.equal(await ok('get deploy old -o jsonpath={.spec.template.spec.containers[*].image}'), 'busybox:2')
})

t.test('the commands that send protobuf work', async (t) => {
  const { ok } = await cluster(t)
  t.equal(await ok('create namespace n'), 'namespace/n created\n')
  t.equal(await ok('create configmap c --from-literal=a=b'), 'configmap/c created\n')
  t.equal(await ok('get configmap c -o jsonpath={.data.a}'), 'b')
  await ok('create secret generic s --from-literal=k=v')
  t.equal(await ok('get secret s -o jsonpath={.data.k}/{.type}'), 'dg==/Opaque')
  await ok('create deployment d --image=busybox:1 --replicas=3')
  t.equal(await ok('get deployment d -o jsonpath={.spec.replicas}/{.spec.template.spec.containers[0].image}'), '3/busybox:1')
  await ok('create service clusterip s --tcp=80:8080')
  t.equal(await ok('get service s -o jsonpath={.spec.ports[0].port}/{.spec.ports[0].targetPort}'), '80/8080')
  await ok('create role r --verb=get,list --resource=pods')
  await ok('create rolebinding b --role=r --user=jane')
  t.equal(await ok('auth can-i get pods --as jane'), 'yes\n')
  t.match(await ok('auth whoami'), /kubernetes-admin/)
  t.match(await ok('create token default'), /^ey/)
  await ok('create job j --image=busybox:1')
  await ok('create poddisruptionbudget p --selector=a=b --min-available=50%')
  t.equal(await ok('get pdb p -o jsonpath={.spec.minAvailable}'), '50%')
})

t.test('get, label, annotate, patch, scale, explain, wait and watch', async (t) => {
  const { ok, kubectl } = await cluster(t)
  await ok('apply -f -', manifest)
  t.match(await ok('get deploy -o wide'), /^NAME +READY +UP-TO-DATE +AVAILABLE +AGE +CONTAINERS +IMAGES +SELECTOR\nweb +0\/2 +0 +0 +\S+ +a +busybox:1 +app=web\n$/)
  t.match(await ok('api-resources'), /deployments +deploy +apps\/v1 +true +Deployment/)
  t.match(await ok('explain deployment.spec.replicas'), /FIELD: replicas <integer>/)
  t.match(await ok('describe service web'), /Name: +web/)
  await ok('label deploy web tier=front')
  await ok('annotate deploy web note=x')
  await ok('patch deploy web --type=json -p [{"op":"replace","path":"/spec/replicas","value":4}]')
  await ok('scale deploy web --replicas=5')
  await ok('set image deploy/web a=busybox:3')
  t.equal(await ok('get deploy web -o jsonpath={.spec.replicas}{.metadata.labels.tier}{.metadata.annotations.note}'), '5frontx')
  t.equal(await ok('wait --for=jsonpath={.spec.replicas}=5 deploy/web --timeout=5s'), 'deployment.apps/web condition met\n')
  const deleted = kubectl('wait --for=delete svc/web --timeout=10s')
  await ok('delete svc web')
  t.equal((await deleted).code, 0)
  t.match(await kubectl('get pods nope'), { code: 1, stderr: 'Error from server (NotFound): pods "nope" not found\n' })
  t.match(await kubectl('get nothings'), { code: 1, stderr: /doesn't have a resource type "nothings"/ })
  t.match(await kubectl('get pods --as eve'), { code: 1, stderr: /pods is forbidden: User "eve" cannot list resource "pods"/ })
  t.match(await kubectl('logs nope'), { code: 1, stderr: /pods "nope" not found/ })
})

t.test('integers of 64 bits survive kubectl', async (t) => {
  const { ok } = await cluster(t)
  const number = '9007199254740993'
  const definition = { apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', metadata: { name: 'things.example.com' }, spec: { group: 'example.com', scope: 'Namespaced', names: { plural: 'things', kind: 'Thing' }, versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object', properties: { spec: { type: 'object', properties: { number: { type: 'integer', format: 'int64' }, other: { type: 'integer' } } } } } } }] } }
  await ok('apply -f -', JSON.stringify(definition))
  await ok('wait --for=condition=Established crd/things.example.com')
  const thing = (other: number): string => `{apiVersion: example.com/v1, kind: Thing, metadata: {name: a}, spec: {number: ${number}, other: ${other}}}`
  t.match(await ok('apply -f -', thing(1)), /created/)
  t.match(await ok('apply -f -', thing(1)), /unchanged/)
  t.match(await ok('apply -f -', thing(2)), /configured/)
  t.match(await ok('apply --server-side --force-conflicts -f -', thing(3)), /serverside-applied/)
  t.equal(await ok('get thing a -o jsonpath={.spec.number}/{.spec.other}'), `${number}/3`)
  await ok('patch thing a --type=merge -p {"spec":{"number":-9223372036854775808}}')
  t.match(await ok('get thing a -o yaml'), /number: -9223372036854775808\n/)
})

t.test('get --watch shows changes as they come', async (t) => {
  const { server } = await startTestServer(t)
  const kubectl = kubectlWith(t, server.adminKubeconfig())
  const config = join(t.testdir(), 'config')
  writeFileSync(config, server.adminKubeconfig())
  const watching = spawn(kubectlPath(), ['--kubeconfig', config, 'get', 'configmaps', '--watch', '--no-headers'], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => void watching.kill())
  let seen = ''
  const until = (pattern: RegExp): Promise<void> => new Promise((resolve) => {
    const look = (): void => {
      if (pattern.test(seen)) resolve()
    }
    watching.stdout.on('data', (chunk: Buffer) => {
      seen += chunk.toString()
      look()
    })
    look()
  })
  await kubectl('create configmap one --from-literal=a=b')
  await until(/one +1 /)
  await kubectl('create configmap two')
  await until(/two +0 /)
  t.pass(seen)
})

async function serve(t: Test, dataDir: string, port = '0'): Promise<{ child: ChildProcess; port: string }> {
  const child = spawn(process.execPath, [new URL('test-support/serve.ts', import.meta.url).pathname, dataDir, port], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => void child.kill('SIGKILL'))
  const line = await new Promise<Buffer>((resolve) => child.stdout.once('data', resolve))
  return { child, port: line.toString().trim() }
}

t.test('after kill -9 the same kubeconfig works and everything acknowledged is there; SIGTERM ends with 0', async (t) => {
  const dataDir = t.testdir()
  const first = await serve(t, dataDir)
  const kubeconfig = readFileSync(join(dataDir, 'admin.conf'), 'utf8')
  const kubectl = kubectlWith(t, kubeconfig)
  for (const name of ['a', 'b', 'c']) t.equal((await kubectl(`create configmap ${name}`)).code, 0)
  const died = new Promise((resolve) => first.child.once('close', resolve))
  first.child.kill('SIGKILL')
  await died
  const second = await serve(t, dataDir, first.port)
  t.equal(readFileSync(join(dataDir, 'admin.conf'), 'utf8'), kubeconfig)
  t.equal((await kubectl('get configmaps -o name')).stdout, 'configmap/a\nconfigmap/b\nconfigmap/c\n')
  const ended = new Promise((resolve) => second.child.once('close', resolve))
  second.child.kill('SIGTERM')
  t.equal(await ended, 0)
})
