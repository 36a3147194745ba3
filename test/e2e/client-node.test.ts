/** The official client library for Node against a running cluster: every style in which it calls, and an informer over a restart of the control plane. */
import { once } from 'node:events'
import { PassThrough, Readable } from 'node:stream'
import {
  ApiextensionsV1Api, AppsV1Api, Attach, AuthorizationV1Api, BatchV1Api, CoreV1Api, Cp, CustomObjectsApi, dumpYaml, Exec, Health, KubeConfig, KubernetesObjectApi, loadYaml, Log, makeInformer, PatchStrategy, PortForward,
  setHeaderOptions, topNodes, VersionApi, Watch,
} from '@kubernetes/client-node'
import type { KubernetesObject, V1ConfigMap, V1Deployment, V1Status } from '@kubernetes/client-node'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { eventually, upCluster } from '../support/cluster.ts'

const cluster = await upCluster(t, 'e2e-client', ['--nodes', '1'])
const config = new KubeConfig()
config.loadFromFile(cluster.kubeconfig)
const core = config.makeApiClient(CoreV1Api)

t.test('objects are created, listed, replaced and deleted', async (t) => {
  const created = await core.createNamespacedConfigMap({ namespace: 'default', body: { metadata: { name: 'one' }, data: { a: '1' } } })
  t.match(created, { metadata: { name: 'one', uid: /./ } })
  const replaced = await core.replaceNamespacedConfigMap({ namespace: 'default', name: 'one', body: { ...created, data: { a: '2' } } })
  t.match(replaced.data, { a: '2' })
  await t.rejects(core.replaceNamespacedConfigMap({ namespace: 'default', name: 'one', body: { ...created, data: { a: '3' } } }), { code: 409 }, 'a stale revision is a conflict')
  const list = await core.listNamespacedConfigMap({ namespace: 'default', fieldSelector: 'metadata.name=one' })
  t.equal(list.items.length, 1)
  await core.deleteNamespacedConfigMap({ namespace: 'default', name: 'one' })
  await t.rejects(core.readNamespacedConfigMap({ namespace: 'default', name: 'one' }), { code: 404 })
})

t.test('a watch reports what happens after it began', async (t) => {
  const seen: string[] = []
  const watch = new Watch(config)
  const request = await watch.watch('/api/v1/namespaces/default/configmaps', {}, (phase, object: V1ConfigMap) => seen.push(`${phase} ${object.metadata?.name}`), () => undefined)
  await core.createNamespacedConfigMap({ namespace: 'default', body: { metadata: { name: 'watched' } } })
  await core.deleteNamespacedConfigMap({ namespace: 'default', name: 'watched' })
  await eventually('both events', () => seen.includes('ADDED watched') && seen.includes('DELETED watched'))
  request.abort()
  t.pass('seen')
})

const labels = { app: 'styles' }
const deployment: V1Deployment = {
  metadata: { name: 'styles' },
  spec: { replicas: 1, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'main', image: 'busybox:1', stdin: true, command: ['sh', '-c', 'echo begun; mkdir /www; echo page >/www/index.html; httpd -p 8080 -h /www; while read line; do echo heard $line; done; sleep 3600'] }] } } },
}

t.test('patches in every form, status and scale', async (t) => {
  const apps = config.makeApiClient(AppsV1Api)
  await apps.createNamespacedDeployment({ namespace: 'default', body: deployment })
  const patch = (body: object, type: PatchStrategy): Promise<V1Deployment> => apps.patchNamespacedDeployment({ namespace: 'default', name: 'styles', body, ...(type === PatchStrategy.ServerSideApply ? { fieldManager: 'styles', force: true } : {}) }, setHeaderOptions('Content-Type', type))
  t.match((await patch([{ op: 'add', path: '/metadata/labels', value: { json: 'yes' } }], PatchStrategy.JsonPatch)).metadata, { labels: { json: 'yes' } })
  t.match((await patch({ metadata: { labels: { merge: 'yes' } } }, PatchStrategy.MergePatch)).metadata, { labels: { json: 'yes', merge: 'yes' } })
  t.match((await patch({ spec: { template: { spec: { containers: [{ name: 'main', env: [{ name: 'A', value: 'b' }] }] } } } }, PatchStrategy.StrategicMergePatch)).spec?.template.spec?.containers, [{ name: 'main', image: 'busybox:1', env: [{ name: 'A', value: 'b' }] }])
  t.match((await patch({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'styles', labels: { applied: 'yes' } } }, PatchStrategy.ServerSideApply)).metadata, { labels: { applied: 'yes' } })
  const scale = await apps.readNamespacedDeploymentScale({ namespace: 'default', name: 'styles' })
  t.match((await apps.replaceNamespacedDeploymentScale({ namespace: 'default', name: 'styles', body: { ...scale, spec: { replicas: 1 } } })).spec, { replicas: 1 })
  await eventually('it is available', async () => (await apps.readNamespacedDeploymentStatus({ namespace: 'default', name: 'styles' })).status?.availableReplicas === 1)
  t.match(await apps.listDeploymentForAllNamespaces({ labelSelector: 'applied=yes' }), { items: [{ metadata: { name: 'styles' } }] })
})

t.test('lists in pages, dry runs, generated names, collections, and refusals with a reason', async (t) => {
  const body = { metadata: { generateName: 'page-', labels } }
  await core.createNamespacedConfigMap({ namespace: 'default', body, dryRun: 'All' })
  for (let i = 0; i < 5; i++) await core.createNamespacedConfigMap({ namespace: 'default', body })
  const names = new Set<string>()
  let _continue: string | undefined
  do {
    const page = await core.listNamespacedConfigMap({ namespace: 'default', labelSelector: 'app=styles', limit: 2, ...(_continue === undefined ? {} : { _continue }) })
    for (const { metadata } of page.items) names.add(metadata?.name ?? '')
    _continue = page.metadata?._continue
  } while (_continue !== undefined && _continue !== '')
  t.equal(names.size, 5)
  await core.deleteCollectionNamespacedConfigMap({ namespace: 'default', labelSelector: 'app=styles' })
  t.same((await core.listNamespacedConfigMap({ namespace: 'default', labelSelector: 'app=styles' })).items, [])
  await t.rejects(core.createNamespacedConfigMap({ namespace: 'default', body: { metadata: { name: 'Upper' } } }), { code: 422, body: /RFC 1123/ })
  t.match(await config.makeApiClient(AuthorizationV1Api).createSelfSubjectAccessReview({ body: { spec: { resourceAttributes: { verb: 'get', resource: 'pods' } } } }), { status: { allowed: true } })
  t.match(await config.makeApiClient(VersionApi).getCode(), { gitVersion: /^v1\.3/ })
  t.ok(await new Health(config).readyz({}))
  t.match(await topNodes(core), [{ CPU: { Capacity: /\d/ } }])
  const job = await config.makeApiClient(BatchV1Api).createNamespacedJob({ namespace: 'default', body: { metadata: { name: 'once' }, spec: { template: { spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'busybox:1', command: ['sh', '-c', 'echo one; sleep 2; echo two'] }] } } } } })
  t.ok(job.metadata?.creationTimestamp instanceof Date)
})

t.test('objects of any kind: from YAML, by their kind, custom ones', async (t) => {
  const objects = KubernetesObjectApi.makeApiClient(config)
  const read = loadYaml<V1ConfigMap>(dumpYaml({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'generic', namespace: 'default' }, data: { a: '1' } }))
  t.match(await objects.create(read), { metadata: { name: 'generic' } })
  t.match(await objects.patch({ ...read, data: { b: '2' } }, undefined, undefined, undefined, undefined, PatchStrategy.MergePatch), { data: { a: '1', b: '2' } })
  t.match(await objects.patch({ ...read, data: { c: '3' } }, undefined, undefined, 'styles', true, PatchStrategy.ServerSideApply), { data: { a: '1', c: '3' } })
  t.match(await objects.list('v1', 'ConfigMap', 'default', undefined, undefined, undefined, 'metadata.name=generic'), { items: [{ data: { b: '2' } }] })
  t.match(await objects.delete(read), { status: 'Success' })
  await t.rejects(objects.read({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'generic', namespace: 'default' } }), { code: 404 })
  const definition = loadYaml<Parameters<ApiextensionsV1Api['createCustomResourceDefinition']>[0]['body']>(readFileSync('examples/operator/crd.yaml', 'utf8'))
  await config.makeApiClient(ApiextensionsV1Api).createCustomResourceDefinition({ body: definition })
  const { group, names, versions } = definition.spec
  const custom = config.makeApiClient(CustomObjectsApi)
  const place = { group, version: versions[0]?.name ?? '', plural: names.plural, namespace: 'default' }
  await eventually('the kind is served', async () => custom.listNamespacedCustomObject(place).then(() => true))
  const website = loadYaml<KubernetesObject>(readFileSync('examples/operator/website.yaml', 'utf8'))
  const name = website.metadata?.name ?? ''
  t.match(await custom.createNamespacedCustomObject({ ...place, body: website }), { metadata: { name, uid: /./ } })
  t.match(await custom.patchNamespacedCustomObject({ ...place, name, body: [{ op: 'add', path: '/metadata/labels', value: { a: 'b' } }] }), { metadata: { labels: { a: 'b' } } })
  t.match(await objects.read({ ...website, metadata: { name, namespace: 'default' } }), { metadata: { labels: { a: 'b' } } })
  t.match(await custom.deleteNamespacedCustomObject({ ...place, name }), { status: 'Success' })
})

t.test('exec, attach, logs, port-forward and cp', async (t) => {
  const pod = async (): Promise<string> => (await core.listNamespacedPod({ namespace: 'default', labelSelector: 'app=styles', fieldSelector: 'status.phase=Running' })).items.find(({ metadata }) => metadata?.deletionTimestamp === undefined)?.metadata?.name ?? ''
  const name = await pod()
  const collect = (stream: PassThrough): { text: string } => {
    const all = { text: '' }
    stream.on('data', (data: Buffer) => (all.text += data.toString()))
    return all
  }
  const [out, problems] = [new PassThrough(), new PassThrough()]
  const [heard, complained] = [collect(out), collect(problems)]
  const status = await new Promise<V1Status>((resolve, reject) => void new Exec(config).exec('default', name, 'main', ['sh', '-c', 'cat; echo problem >&2; exit 7'], out, problems, Readable.from(['from outside']), false, resolve).catch(reject))
  t.match(status, { status: 'Failure', reason: 'NonZeroExitCode', details: { causes: [{ message: '7' }] } })
  t.match([heard.text, complained.text], ['from outside', /problem/])
  const attached = new PassThrough()
  const said = collect(attached)
  const keyboard = new PassThrough()
  const session = await new Attach(config).attach('default', name, 'main', attached, attached, keyboard, false)
  keyboard.write('you\n')
  await eventually('an answer', () => said.text.includes('heard you'))
  session.close()
  const log = new PassThrough()
  const lines = collect(log)
  const { value: talker } = await eventually('the job has begun', async () => (await core.listNamespacedPod({ namespace: 'default', labelSelector: 'job-name=once' })).items.find(({ status }) => status?.phase !== 'Pending'))
  await new Log(config).log('default', talker.metadata?.name ?? '', 'c', log, { follow: true, timestamps: true })
  await once(log, 'end')
  t.match(lines.text, /^20\S+Z one\n20\S+Z two\n$/, 'followed to its end')
  const [request, answer] = [new PassThrough(), new PassThrough()]
  const page = collect(answer)
  const tunnel = await new PortForward(config).portForward('default', name, [8080], answer, null, request)
  request.write('GET /index.html HTTP/1.0\r\n\r\n')
  await eventually('the page', () => /200 OK[\s\S]*page\n$/.test(page.text))
  if (typeof tunnel !== 'function') tunnel.close()
  const target = t.testdir()
  await new Cp(config).cpFromPod('default', name, 'main', 'www/index.html', target, '/')
  await eventually('the copy', () => readFileSync(join(target, 'www/index.html'), 'utf8') === 'page\n')
})

t.test('an informer holds what exists, and goes on after the control plane was killed', async (t) => {
  const informer = makeInformer<V1ConfigMap>(config, '/api/v1/namespaces/default/configmaps', () => core.listNamespacedConfigMap({ namespace: 'default' }))
  const names = new Set<string>()
  informer.on('add', (object) => void names.add(object.metadata?.name ?? ''))
  informer.on('delete', (object) => void names.delete(object.metadata?.name ?? ''))
  let restarts = 0
  let isOver = false
  informer.on('error', () => {
    restarts += 1
    if (!isOver) setTimeout(() => void informer.start(), 200)
  })
  await informer.start()
  t.teardown(() => {
    isOver = true
    return informer.stop()
  })
  await core.createNamespacedConfigMap({ namespace: 'default', body: { metadata: { name: 'before' } } })
  await eventually('the object from before', () => names.has('before'))
  const killed = await cluster.fairway(['node', 'exec', '--name', cluster.name, 'control-plane', '--', 'sh', '-c', 'kill -9 $(cat /run/fairway/server.pid)'])
  t.equal(killed.code, 0, killed.stderr)
  await eventually('writes work again', async () => core.createNamespacedConfigMap({ namespace: 'default', body: { metadata: { name: 'after' } } }).then(() => true), 20_000, 200)
  await eventually('the object from after', () => names.has('after'), 20_000)
  t.ok(names.has('before'), 'nothing that was acknowledged is lost')
  t.comment(`the informer started anew ${restarts} times`)
})
