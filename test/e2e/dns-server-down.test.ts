/** The DNS server of a host is killed, hangs, or is replaced, and its pods go on resolving names. */
import t from 'tap'
import { eventually, upCluster } from '../support/cluster.ts'

const cluster = await upCluster(t, 'e2e-dns-down', ['--nodes', '2'])

await cluster.kubectl(['apply', '-f', 'examples/web.yaml', '-f', 'examples/client.yaml'])
await cluster.kubectl(['wait', 'pod/client', '--for=condition=Ready', '--timeout=60s'])
const host = await cluster.kubectl(['get', 'pod', 'client', '-o', 'jsonpath={.spec.nodeName}'])
const onHost = async (script: string): Promise<string> => {
  const { code, stdout, stderr } = await cluster.node(host, ['sh', '-c', script])
  if (code !== 0) throw new Error(`${script}: ${stderr}`)
  return stdout.trim()
}
const resolves = async (): Promise<boolean> => /Address.*10\.96\./.test(await cluster.exec('client', ['nslookup', 'kubernetes.default.svc.cluster.local']))
const isAway = async (): Promise<boolean> => (await onHost('ip route show table 72 2>/dev/null || true')) !== ''

/** How long until names resolve. */
async function outageMs(what: string): Promise<number> {
  const begun = performance.now()
  await eventually(what, async () => resolves().catch(() => false), 20_000, 200)
  return performance.now() - begun
}

t.test('a server that is killed and does not come back: pods are answered by the other host within seconds, and at home again afterwards', async (t) => {
  t.ok(await resolves())
  t.notOk(await isAway())
  // Without its kubeconfig the next one waits, as on a host that has lost it.
  const kubeconfig = '/var/lib/fairway/agent/node.kubeconfig'
  await onHost(`mv ${kubeconfig} ${kubeconfig}.away && kill -9 $(cat /run/fairway/dns.pid)`)
  await eventually('the other host is asked', isAway, 10_000, 100)
  t.ok(await outageMs('names resolve through the other host') < 5000)
  await onHost(`mv ${kubeconfig}.away ${kubeconfig}`)
  await eventually('nothing of it is left', async () => !(await isAway()), 20_000, 100)
  t.ok(await resolves())
})

t.test('a server that hangs', async (t) => {
  const pid = await onHost('cat /run/fairway/dns.pid')
  await onHost(`kill -STOP ${pid}`)
  await eventually('the other host is asked', isAway, 20_000, 100)
  t.ok(await resolves())
  await onHost(`kill -CONT ${pid}`)
  await eventually('nothing of it is left', async () => !(await isAway()), 60_000, 100)
  t.ok(await resolves())
})

t.test('a new process takes over from the one that the host keeps, and the host starts one that takes over from that', async (t) => {
  const before = await onHost('cat /run/fairway/dns.pid')
  const lookups = cluster.exec('client', ['sh', '-c', 'i=0; lost=0; while [ $i -lt 200 ]; do i=$((i+1)); timeout 4 nslookup kubernetes.default.svc.cluster.local >/dev/null 2>&1 || lost=$((lost+1)); done; echo lost $lost'])
  for (let upgrade = 0; upgrade < 3; upgrade += 1) {
    const replaced = await onHost('cat /run/fairway/dns.pid')
    await onHost(`tr '\\0' '\\n' </proc/${replaced}/cmdline >/run/fairway/dns.args; xargs -d '\\n' -a /run/fairway/dns.args setsid sh -c '"$0" "$@" >>/var/log/dns.log 2>&1 &'`)
    await eventually('the host has started another', async () => (await onHost('cat /run/fairway/dns.pid')) !== replaced, 20_000, 100)
    await eventually('which has taken over', async () => (await onHost('pgrep -fc "[m]ain.ts dns"')) === '1', 20_000, 100)
  }
  t.not(await onHost('cat /run/fairway/dns.pid'), before)
  t.equal((await lookups).trim(), 'lost 0')
})

t.test('settings in a ConfigMap hold on every host, and a broken one is refused with an event', async (t) => {
  const write = (data: string): Promise<unknown> => cluster.kubectl(['patch', 'configmap', 'fairway-dns', '-n', 'kube-system', '--type=merge', '-p', `{"data":${data}}`])
  const logged = async (what: string): Promise<boolean> => (await onHost(`grep -c '${what}' /var/log/dns.log || true`)) !== '0'
  await cluster.kubectl(['create', 'configmap', 'fairway-dns', '-n', 'kube-system', '--from-literal=query-log=1'])
  await eventually('the log of questions', async () => {
    await resolves()
    return logged('msg=query')
  }, 20_000, 200)
  await write('{"query-log":"often"}')
  await eventually('the refusal', () => logged('the configuration is refused'), 20_000, 200)
  await eventually('the event', async () => (await cluster.kubectl(['get', 'events', '-n', 'kube-system', '-o', 'jsonpath={.items[*].reason}'])).includes('ConfigurationRefused'), 20_000, 200)
  t.ok(await resolves())
  await cluster.kubectl(['delete', 'configmap', 'fairway-dns', '-n', 'kube-system'])
  await eventually('the flags hold again', () => logged('the flags hold'), 20_000, 200)
})
