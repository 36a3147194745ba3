/** Clusters of IPv6 alone and of both families: the same paths, by the other addresses. */
import t from 'tap'
import { inUrl } from '../../cli/local/addressing.ts'
import { Cluster } from '../support/cluster.ts'

t.test('a cluster of IPv6 alone: every way of the demonstration, and no address of IPv4', async (t) => {
  const cluster = new Cluster('e2e-ipv6')
  t.teardown(() => cluster.down())
  const ran = await cluster.fairway(['up', '--name', cluster.name, '--ip-family', 'ipv6', '--demo'], { timeoutMs: 240_000 })
  t.equal(ran.code, 0, ran.stderr + ran.stdout)
  t.match(ran.stdout, /API at https:\/\/\[fd00:10:90:/)
  t.notMatch(ran.stdout, /✗|10\.244\.|10\.96\./)
  const addresses = await cluster.kubectl(['get', 'pods,services,nodes,endpointslices', '-A', '-o', 'jsonpath={.items[*].status.podIPs[*].ip} {.items[*].spec.clusterIPs} {.items[*].status.addresses[*].address} {.items[*].endpoints[*].addresses[*]}'])
  t.notMatch(addresses, /\d+\.\d+\.\d+\.\d+/, addresses)
  t.match(await cluster.exec('client', ['cat', '/etc/resolv.conf']), /nameserver fd00:10:96::a/)
  const trace = await cluster.fairway(['trace', '--name', cluster.name, 'pod/client', 'svc/web'])
  t.equal(trace.code, 0, trace.stdout + trace.stderr)
})

t.test('a cluster of both families: pods, services, names and node ports have both', async (t) => {
  const cluster = new Cluster('e2e-dual')
  t.teardown(() => cluster.down())
  const ran = await cluster.fairway(['up', '--name', cluster.name, '--ip-family', 'dual', '--overlay', 'host-gw', '--demo'], { timeoutMs: 240_000 })
  t.equal(ran.code, 0, ran.stderr + ran.stdout)
  for (const service of ['web', 'web-nodeport']) await cluster.kubectl(['patch', 'service', service, '--patch', '{"spec":{"ipFamilyPolicy":"RequireDualStack"}}'])
  const both = (await cluster.kubectl(['get', 'service', 'web', '-o', 'jsonpath={.spec.clusterIPs[*]}'])).split(' ')
  t.match(both, [/^10\./, /^fd00:10:96::/])
  const names = (await cluster.kubectl(['get', 'pods', '-l', 'app=web', '-o', 'jsonpath={.items[*].metadata.name}'])).split(' ')
  const pods = (await cluster.kubectl(['get', 'pods', '-l', 'app=web', '-o', 'jsonpath={.items[*].status.podIPs[*].ip}'])).split(' ')
  t.equal(pods.length, 4, 'two addresses each')
  for (const url of [...both.map((address) => `http://${inUrl(address)}/`), ...pods.map((address) => `http://${inUrl(address)}:8080/`)]) {
    t.ok(names.includes((await answer(cluster, url)).trim()), url)
  }
  for (const server of ['10.96.0.10', 'fd00:10:96::a']) {
    const said = await cluster.exec('client', ['nslookup', 'web.default.svc.cluster.local', server])
    for (const address of both) t.ok(said.includes(address), `${server} says ${address}`)
  }
  for (const address of (await cluster.kubectl(['get', 'node', 'node-1', '-o', 'jsonpath={.status.addresses[?(@.type=="InternalIP")].address}'])).split(' ')) {
    t.ok(names.includes((await (await fetch(`http://${inUrl(address)}:30080/`, { signal: AbortSignal.timeout(5000), headers: { connection: 'close' } })).text()).trim()), `node port at ${address}`)
  }
})

/** What was just written takes its milliseconds to the kernel. */
async function answer(cluster: Cluster, url: string): Promise<string> {
  return cluster.exec('client', ['sh', '-c', `for try in $(seq 20); do timeout 2 wget -q -O - '${url}' && break; sleep 0.1; done`])
}
