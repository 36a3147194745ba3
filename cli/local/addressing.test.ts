import t from 'tap'
import { canonicalAddress } from '../../netlink/addresses.ts'
import { rangesOf } from './addressing.ts'
import { controlPlaneHost, hostAddresses, serverUrl } from './config.ts'
import type { ClusterConfigFile } from './config.ts'

const config: ClusterConfigFile = { version: 1, name: 'dev', nodes: ['node-1', 'node-2'], subnet: 0, overlay: 'vxlan', complete: true, userKubeconfig: '' }

t.test('hosts have an address of each family of the cluster', (t) => {
  t.same(hostAddresses(config, 'node-2'), ['10.90.0.12'], 'a file of an older version has none: IPv4')
  t.same(hostAddresses({ ...config, ipFamily: 'dual', subnet: 7 }, 'node-1'), ['10.90.7.11', 'fd00:10:90:7::11'])
  t.equal(serverUrl({ ...config, ipFamily: 'ipv6' }), 'https://[fd00:10:90::10]:6443')
  t.throws(() => hostAddresses(config, 'node-3'), /Cannot find host node-3: the cluster has control-plane, node-1, node-2/)
  t.equal(serverUrl(config), `https://${hostAddresses(config, controlPlaneHost)[0]}:6443`)
  t.end()
})

t.test('addresses are written as the kernel writes them', (t) => {
  for (const ranges of rangesOf('dual')) {
    for (const subnet of [0, 9, 255]) for (const place of [1, 10, 99]) t.equal(canonicalAddress(ranges.hostAddress(subnet, place)), ranges.hostAddress(subnet, place))
    t.equal(canonicalAddress(ranges.clusterDns), ranges.clusterDns)
  }
  t.end()
})
