/** kubectl 1.35 against a running cluster: every verb of the list, as its users call them. */
import t from 'tap'
import { eventually, upCluster } from '../support/cluster.ts'

const cluster = await upCluster(t, 'e2e-kubectl')

t.test('apply creates, then changes, then leaves alone', async (t) => {
  t.match(await cluster.kubectl(['apply', '-f', 'examples/web.yaml']), /deployment\.apps\/web created/)
  t.match(await cluster.kubectl(['apply', '-f', 'examples/web.yaml']), /deployment\.apps\/web unchanged/)
  t.match(await cluster.kubectl(['rollout', 'status', 'deployment/web', '--timeout=60s']), /successfully rolled out/)
})

t.test('get -o wide shows addresses and hosts', async (t) => {
  const pods = await cluster.kubectl(['get', 'pods', '-o', 'wide'])
  t.match(pods, /NAME +READY +STATUS +RESTARTS +AGE +IP +NODE/)
  t.match(pods, /web-\S+ +\d\/\d +Running +0 +\d+s +10\.244\.\d+\.\d+ +\S*node-[12]/)
  t.match(await cluster.kubectl(['get', 'svc', 'web', '-o', 'wide']), /ClusterIP +10\.\d+\.\d+\.\d+/)
  t.match(await cluster.kubectl(['get', 'nodes', '-o', 'wide']), /INTERNAL-IP/)
  t.match(await cluster.kubectl(['get', 'all']), /deployment\.apps\/web[\s\S]*replicaset\.apps\/web/)
})

t.test('pods of one deployment are spread over both hosts', async (t) => {
  const nodes = await cluster.kubectl(['get', 'pods', '-l', 'app=web', '-o', 'jsonpath={.items[*].spec.nodeName}'])
  t.equal(new Set(nodes.split(' ')).size, 2, nodes)
})

t.test('describe shows events and conditions', async (t) => {
  const described = await cluster.kubectl(['describe', 'deployment', 'web'])
  t.match(described, /Replicas:[\s\S]*Conditions:[\s\S]*ScalingReplicaSet/)
  const pod = await cluster.kubectl(['describe', 'pods', '-l', 'app=web'])
  t.match(pod, /Scheduled[\s\S]*Started/)
  t.match(await cluster.kubectl(['describe', 'node']), /Allocated resources/)
  t.match(await cluster.kubectl(['describe', 'service', 'web']), /Endpoints: +10\.244/)
})

t.test('scale up and down ends with so many ready pods', async (t) => {
  await cluster.kubectl(['scale', 'deployment/web', '--replicas=4'])
  await cluster.kubectl(['rollout', 'status', 'deployment/web', '--timeout=60s'])
  const ready = async (): Promise<string> => cluster.kubectl(['get', 'deployment', 'web', '-o', 'jsonpath={.status.readyReplicas}'])
  t.equal(await ready(), '4')
  await cluster.kubectl(['scale', 'deployment/web', '--replicas=2'])
  await eventually('two replicas', async () => (await ready()) === '2')
})

t.test('exec runs in the container, passes input and output, and returns the exit code', async (t) => {
  t.match(await cluster.kubectl(['exec', 'deploy/web', '--', 'hostname']), /^web-/)
  const piped = await cluster.kubectlRan(['exec', '-i', 'deploy/web', '--', 'sh', '-c', 'cat; echo problem >&2; exit 7'], { input: 'from outside' })
  t.equal(piped.code, 7)
  t.equal(piped.stdout, 'from outside')
  t.match(piped.stderr, /problem/)
})

t.test('logs come whole, by tail and as they are written', async (t) => {
  await cluster.kubectl(['run', 'talker', '--image=busybox:1', '--restart=Never', '--', 'sh', '-c', 'for i in 1 2 3 4 5; do echo line $i; sleep 0.2; done'])
  await cluster.kubectl(['wait', 'pod/talker', '--for=jsonpath={.status.phase}=Succeeded', '--timeout=30s'])
  t.equal(await cluster.kubectl(['logs', 'talker']), 'line 1\nline 2\nline 3\nline 4\nline 5\n')
  t.equal(await cluster.kubectl(['logs', 'talker', '--tail=2']), 'line 4\nline 5\n')
  t.match(await cluster.kubectl(['logs', 'talker', '--timestamps', '--tail=1']), /^20\d\d-\S+Z line 5/)
  t.match(await cluster.kubectl(['logs', '-f', 'talker']), /line 5\n$/)
  t.match(await cluster.kubectl(['get', 'pod', 'talker']), /Completed/)
})

t.test('wait returns when the condition comes true, and fails when it does not', async (t) => {
  await cluster.kubectl(['run', 'waiter', '--image=busybox:1', '--', 'sleep', '3600'])
  t.match(await cluster.kubectl(['wait', 'pod/waiter', '--for=condition=Ready', '--timeout=30s']), /condition met/)
  t.not((await cluster.kubectlRan(['wait', 'pod/waiter', '--for=delete', '--timeout=1s'])).code, 0)
})

t.test('patches of all three kinds, labels and annotations', async (t) => {
  await cluster.kubectl(['patch', 'deployment', 'web', '--type=strategic', '-p', '{"spec":{"template":{"spec":{"containers":[{"name":"web","env":[{"name":"ADDED","value":"1"}]}]}}}}'])
  const containers = await cluster.json<{ spec: { template: { spec: { containers: { name: string; image: string; env?: { name: string }[] }[] } } } }>(['get', 'deployment', 'web'])
  const web = containers.spec.template.spec.containers.find((container) => container.name === 'web')
  t.match(web, { image: /busybox/, env: [{ name: 'ADDED' }] }, 'a strategic patch merges containers by name')
  await cluster.kubectl(['patch', 'deployment', 'web', '--type=merge', '-p', '{"metadata":{"annotations":{"example.com/merge":"yes"}}}'])
  await cluster.kubectl(['patch', 'deployment', 'web', '--type=json', '-p', '[{"op":"add","path":"/metadata/labels/json","value":"yes"}]'])
  await cluster.kubectl(['label', 'deployment', 'web', 'tier=front'])
  await cluster.kubectl(['annotate', 'deployment', 'web', 'example.com/note=hello'])
  t.match(await cluster.json(['get', 'deployment', 'web']), {
    metadata: { labels: { json: 'yes', tier: 'front' }, annotations: { 'example.com/merge': 'yes', 'example.com/note': 'hello' } },
  })
  await cluster.kubectl(['rollout', 'status', 'deployment/web', '--timeout=60s'])
})

t.test('a rollout can be looked back at and undone', async (t) => {
  t.match(await cluster.kubectl(['rollout', 'history', 'deployment/web']), /REVISION/)
  await cluster.kubectl(['rollout', 'undo', 'deployment/web'])
  await cluster.kubectl(['rollout', 'status', 'deployment/web', '--timeout=60s'])
  t.notMatch(await cluster.kubectl(['get', 'deployment', 'web', '-o', 'yaml']), /ADDED/)
  await cluster.kubectl(['rollout', 'restart', 'deployment/web'])
  await cluster.kubectl(['rollout', 'status', 'deployment/web', '--timeout=60s'])
})

t.test('a watch shows what changes', async (t) => {
  const watching = cluster.kubectlRan(['get', 'configmaps', '-w', '--request-timeout=4s', '-o', 'name'], { timeoutMs: 15_000 })
  await new Promise((resolve) => setTimeout(resolve, 1000))
  await cluster.kubectl(['create', 'configmap', 'seen-by-watch', '--from-literal=a=b'])
  t.match((await watching).stdout, /configmap\/seen-by-watch/)
})

t.test('delete of a namespace takes everything in it', async (t) => {
  await cluster.kubectl(['create', 'namespace', 'gone'])
  await cluster.kubectl(['create', 'configmap', 'inside', '-n', 'gone'])
  await cluster.kubectl(['create', 'deployment', 'inside', '--image=busybox:1', '-n', 'gone', '--', 'sleep', '3600'])
  await cluster.kubectl(['delete', 'namespace', 'gone', '--timeout=60s'])
  t.match((await cluster.kubectlRan(['get', 'pods', '-n', 'gone'])).stdout, /^$/)
  t.not((await cluster.kubectlRan(['get', 'namespace', 'gone'])).code, 0)
})

t.test('deleting a deployment deletes its replica sets and pods', async (t) => {
  await cluster.kubectl(['delete', '-f', 'examples/web.yaml'])
  await eventually('no pod of web is left', async () => (await cluster.kubectl(['get', 'pods,replicasets', '-l', 'app=web', '-o', 'name'])) === '', 60_000)
  t.pass('gone')
})

t.test('configuration and secrets reach the container as environment and files', async (t) => {
  await cluster.kubectl(['create', 'configmap', 'settings', '--from-literal=colour=green'])
  await cluster.kubectl(['create', 'secret', 'generic', 'keys', '--from-literal=password=sesame'])
  await cluster.kubectl(['apply', '-f', '-'], {
    input: JSON.stringify({
      apiVersion: 'v1', kind: 'Pod', metadata: { name: 'configured' },
      spec: {
        containers: [{
          name: 'main', image: 'busybox:1', command: ['sleep', '3600'],
          env: [{ name: 'COLOUR', valueFrom: { configMapKeyRef: { name: 'settings', key: 'colour' } } }, { name: 'MY_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } }],
          volumeMounts: [{ name: 'keys', mountPath: '/keys', readOnly: true }, { name: 'scratch', mountPath: '/scratch' }],
          resources: { limits: { memory: '64Mi', cpu: '500m' } },
        }],
        volumes: [{ name: 'keys', secret: { secretName: 'keys' } }, { name: 'scratch', emptyDir: {} }],
      },
    }),
  })
  await cluster.kubectl(['wait', 'pod/configured', '--for=condition=Ready', '--timeout=30s'])
  const ip = await cluster.kubectl(['get', 'pod', 'configured', '-o', 'jsonpath={.status.podIP}'])
  t.equal(await cluster.exec('configured', ['sh', '-c', 'echo $COLOUR $MY_IP $(cat /keys/password); touch /scratch/x && echo written']), `green ${ip} sesame\nwritten\n`)
  t.match(await cluster.exec('configured', ['cat', '/etc/hosts']), new RegExp(`${ip}\\s+configured`))
  t.match(await cluster.exec('configured', ['cat', '/etc/resolv.conf']), /nameserver 10\.96\.0\.10[\s\S]*search default\.svc\.cluster\.local|search default\.svc\.cluster\.local[\s\S]*nameserver 10\.96\.0\.10/)
  await cluster.kubectl(['create', 'configmap', 'settings', '--from-literal=colour=blue', '-o', 'yaml', '--dry-run=client'])
})

t.test('a pod that cannot be placed says why', async (t) => {
  await cluster.kubectl(['apply', '-f', '-'], {
    input: JSON.stringify({
      apiVersion: 'v1', kind: 'Pod', metadata: { name: 'too-big' },
      spec: { containers: [{ name: 'main', image: 'busybox:1', resources: { requests: { cpu: '900' } } }] },
    }),
  })
  const { value } = await eventually('an event', async () => {
    const described = await cluster.kubectl(['describe', 'pod', 'too-big'])
    return /FailedScheduling.*/.exec(described)?.[0]
  })
  t.match(value, /0\/2 nodes are available: 2 Insufficient cpu/)
  await cluster.kubectl(['delete', 'pod', 'too-big', '--wait=false'])
})
