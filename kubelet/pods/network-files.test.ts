import t from 'tap'
import type { Pod, PodSpec } from '../../api/types.ts'
import { hostnameOf, parseResolvConf, renderHosts, renderResolvConf, resolvConfOf } from './network-files.ts'

const host = parseResolvConf('# made by hand\nnameserver 192.0.2.53\nsearch example.com. corp.example.com\noptions timeout:2 ndots:1\n')
const settings = { clusterDNS: ['10.96.0.10'], clusterDomain: 'cluster.local' }

function podOf(spec: Partial<PodSpec>): Pod {
  return { metadata: { name: 'web-0', namespace: 'shop' }, spec: { containers: [], ...spec } }
}

const clusterFirst = 'nameserver 10.96.0.10\nsearch shop.svc.cluster.local svc.cluster.local cluster.local example.com corp.example.com\noptions ndots:5\n'
const ofHost = 'nameserver 192.0.2.53\nsearch example.com corp.example.com\noptions timeout:2 ndots:1\n'

const cases: ReadonlyArray<readonly [string, Partial<PodSpec>, string]> = [
  ['no policy is ClusterFirst', {}, clusterFirst],
  ['ClusterFirst on the host network is the host', { dnsPolicy: 'ClusterFirst', hostNetwork: true }, ofHost],
  ['ClusterFirstWithHostNet is the cluster', { dnsPolicy: 'ClusterFirstWithHostNet', hostNetwork: true }, clusterFirst],
  ['Default is the host', { dnsPolicy: 'Default' }, ofHost],
  ['None is what the pod says', { dnsPolicy: 'None', dnsConfig: { nameservers: ['198.51.100.1'], searches: ['a.test'], options: [{ name: 'ndots', value: '2' }, { name: 'edns0' }] } }, 'nameserver 198.51.100.1\nsearch a.test\noptions ndots:2 edns0\n'],
  ['dnsConfig adds, and its options win', { dnsConfig: { nameservers: ['198.51.100.1', '10.96.0.10'], searches: ['a.test'], options: [{ name: 'ndots', value: '1' }] } },
    'nameserver 10.96.0.10\nnameserver 198.51.100.1\nsearch shop.svc.cluster.local svc.cluster.local cluster.local example.com corp.example.com a.test\noptions ndots:1\n'],
  ['more than three servers are cut', { dnsPolicy: 'None', dnsConfig: { nameservers: ['1.1.1.1', '2.2.2.2', '3.3.3.3', '4.4.4.4'] } }, 'nameserver 1.1.1.1\nnameserver 2.2.2.2\nnameserver 3.3.3.3\n'],
]

for (const [name, spec, expected] of cases) {
  t.test(`resolv.conf: ${name}`, (t) => {
    t.equal(renderResolvConf(resolvConfOf(podOf(spec), settings, host)), expected)
    t.end()
  })
}

t.test('the hosts file names the pod by its address, its full name first', (t) => {
  const text = renderHosts(podOf({ subdomain: 'db', hostAliases: [{ ip: '192.0.2.9', hostnames: ['a', 'b'] }] }), ['10.0.0.7'], 'cluster.local', '')
  t.match(text, /^127\.0\.0\.1\tlocalhost$/m)
  t.match(text, /^10\.0\.0\.7\tweb-0\.db\.shop\.svc\.cluster\.local\tweb-0$/m)
  t.match(text, /^192\.0\.2\.9\ta\tb$/m)
  t.match(renderHosts(podOf({ hostNetwork: true }), [], 'cluster.local', '127.0.0.1 machine\n'), /machine/)
  t.equal(hostnameOf({ metadata: { name: `${'a'.repeat(62)}.b` }, spec: { containers: [] } }), 'a'.repeat(62))
  t.end()
})
