import { createPublicKey, X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import t from 'tap'
import { controlPlaneHosts, hostAddress, hostPlace, hostsOf, serverUrl } from './config.ts'
import type { ClusterConfigFile } from './config.ts'
import { etcdArguments, etcdFlags, requireEtcd, shareKeys } from './etcd.ts'

const config: ClusterConfigFile = { version: 1, name: 'test', nodes: Array.from({ length: 100 }, (_, i) => `node-${i + 1}`), controlPlanes: 3, store: 'etcd', subnet: 7, overlay: 'vxlan', complete: true, userKubeconfig: '/dev/null' }

await t.test('each host has a place of its own, and the API one that stays', async (t) => {
  t.same(controlPlaneHosts(config), ['control-plane', 'control-plane-2', 'control-plane-3'])
  t.same(controlPlaneHosts(config).map((host) => hostAddress(config, host)), ['10.90.7.10', '10.90.7.202', '10.90.7.203'])
  t.equal(new Set([2, 1, ...hostsOf(config).map((host) => hostPlace(config, host))]).size, 105, 'the balancer and the machine too')
  t.equal(serverUrl(config), 'https://10.90.7.2:6443')
  t.equal(serverUrl({ ...config, controlPlanes: 1 }), 'https://10.90.7.10:6443')
  t.throws(() => hostPlace(config, 'control-plane-4'), { message: /Cannot find host control-plane-4: the cluster has control-plane, / })
})

await t.test('a member knows the others, and an API server asks its own first', async (t) => {
  const flags = etcdFlags(config, 'control-plane-2')
  t.equal(flags[1], 'etcd=https://10.90.7.202:2379,https://10.90.7.10:2379,https://10.90.7.203:2379')
  const words = etcdArguments({ ...config, ipFamily: 'ipv6' }, 'control-plane-3')
  t.equal(words[words.indexOf('--initial-cluster') + 1], 'control-plane=https://[fd00:10:90:7::10]:2380,control-plane-2=https://[fd00:10:90:7::202]:2380,control-plane-3=https://[fd00:10:90:7::203]:2380')
  t.equal(words.includes('--client-cert-auth') && words.includes('--peer-client-cert-auth'), true)
})

await t.test('where there is no etcd, a sentence says so', (t) => {
  t.throws(() => requireEtcd(['/nowhere', t.testdirName]), { message: "Cannot keep the cluster's state in etcd: there is no program etcd on this machine; 'apt-get install etcd-server' brings it" })
  t.end()
})

await t.test('hosts have the keys in common that they must, and etcd believes no certificate of the cluster', async (t) => {
  const root = t.testdir()
  const folderOf = (host: string): string => `${root}/${host}`
  await shareKeys(config, folderOf)
  const hosts = controlPlaneHosts(config)
  const read = (host: string, file: string): string => readFileSync(`${folderOf(host)}/${file}`, 'utf8')
  for (const file of ['server/pki/ca.pem', 'server/pki/front-proxy-ca.pem', 'server/pki/service-account.pem', 'etcd-pki/ca.crt']) t.equal(new Set(hosts.map((host) => read(host, file))).size, 1, `${file} is the same`)
  for (const host of hosts) {
    for (const file of ['server/pki/ca.pem', 'server/pki/service-account.pem', 'etcd-pki/member.key', 'etcd-pki/client.key']) t.equal(statSync(`${folderOf(host)}/${file}`).mode & 0o777, 0o600)
    const member = new X509Certificate(read(host, 'etcd-pki/member.crt'))
    t.equal(member.checkIP(hostAddress(config, host)), hostAddress(config, host))
    t.equal(member.verify(createPublicKey(read(host, 'etcd-pki/ca.crt'))), true)
    t.equal(member.verify(createPublicKey(new X509Certificate(read(host, 'server/pki/ca.pem')).publicKey.export({ type: 'spki', format: 'pem' }))), false)
  }
  const before = read('control-plane', 'etcd-pki/ca.crt')
  await shareKeys(config, folderOf)
  t.equal(read('control-plane', 'etcd-pki/ca.crt'), before, 'and keep them')
})
