// kubectl 1.35 with an aggregated API server: `top` finds metrics.k8s.io as it would find metrics-server.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { kubectlPath, run } from '../../../test/support/cluster.ts'
import { startAggregatedServer } from '../test-support/aggregated-server.ts'
import { ask, startTestServer } from '../test-support/server.ts'

const manifest = (port: number, caBundle: string): string => `
apiVersion: v1
kind: Service
metadata: {name: metrics}
spec: {type: ExternalName, externalName: localhost, ports: [{port: ${port}}]}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.metrics.k8s.io}
spec:
  group: metrics.k8s.io
  version: v1beta1
  groupPriorityMinimum: 100
  versionPriority: 100
  service: {namespace: default, name: metrics, port: ${port}}
  caBundle: ${caBundle}
---
apiVersion: v1
kind: Pod
metadata: {name: web}
spec: {containers: [{name: main, image: "busybox:1"}]}
`

t.test('kubectl top, get and api-resources with an aggregated server', async (t) => {
  const { server } = await startTestServer(t)
  const { body } = await ask(server, 'GET', '/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication')
  const aggregated = await startAggregatedServer((body['data'] as Record<string, string>)['requestheader-client-ca-file'] ?? '')
  t.teardown(() => aggregated.stop())
  const home = mkdtempSync(join(tmpdir(), 'fairway-kubectl-'))
  t.teardown(() => rmSync(home, { recursive: true, force: true }))
  writeFileSync(join(home, 'config'), server.adminKubeconfig())
  const kubectl = (args: string, input = ''): ReturnType<typeof run> => run(kubectlPath(), args.split(' '), { input, timeoutMs: 20_000, env: { HOME: home, KUBECONFIG: join(home, 'config') } })

  t.match(await kubectl('apply -f -', manifest(aggregated.port, aggregated.caBundle)), { code: 0 })
  t.match(await kubectl('wait --for=condition=Available apiservice/v1beta1.metrics.k8s.io --timeout=10s'), { code: 0 })
  t.match((await kubectl('get apiservices')).stdout, /v1beta1\.metrics\.k8s\.io +default\/metrics +True/)
  t.match((await kubectl('get apiservices')).stdout, /v1\.apps +Local +True/)
  t.match((await kubectl('api-resources --api-group=metrics.k8s.io')).stdout, /pods +metrics\.k8s\.io\/v1beta1 +true +PodMetrics/)
  t.match((await kubectl('top pods')).stdout, /web +250m +64Mi/)
  await ask(server, 'POST', '/api/v1/nodes', { metadata: { name: 'n1' }, status: { allocatable: { cpu: '1', memory: '2Gi' } } })
  t.match((await kubectl('top nodes')).stdout, /n1 +500m +50% +1024Mi +50%/)
  t.match(JSON.parse((await kubectl('get --raw /apis/metrics.k8s.io/v1beta1/namespaces/default/pods')).stdout), { kind: 'PodMetricsList' })
  await aggregated.stop()
  await kubectl('annotate service metrics asked=again')
  await kubectl('wait --for=condition=Available=False apiservice/v1beta1.metrics.k8s.io --timeout=10s')
  t.match((await kubectl('top pods')).stderr, /Metrics API not available/)
  // One group that is away does not hide the others.
  t.match(await kubectl('get pods'), { code: 0, stdout: /web/ })
})
