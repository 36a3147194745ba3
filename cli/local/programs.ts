/** What runs in each local host, with which arguments. Paths are as the host sees them. */
import { inUrl, rangesOf } from './addressing.ts'
import { apiServerPort, balancerAddresses, hostAddress, hostAddresses, isControlPlane, serverUrls } from './config.ts'
import type { ClusterConfigFile } from './config.ts'
import { etcdArguments, etcdFlags } from './etcd.ts'
import type { HostPrograms } from './host.ts'
import { clusterPaths } from './paths.ts'

const state = '/var/lib/fairway'

/** Files through which the hosts of a cluster and this machine find each other; relative to a host's /var/lib. */
const shared = { kubeconfig: 'fairway/admin.kubeconfig', token: 'fairway/join-token' } as const

/**
 * Local clusters notice failures sooner than Kubernetes' defaults (40 s, 300 s): who stops a host wants to watch. The price is
 * that a host which stalls for 12 s is taken as dead.
 */
const failureDetection = { gracePeriodSeconds: 12, leaseDurationSeconds: 12, tolerationSeconds: 5 } as const

export function programsOf(config: ClusterConfigFile, host: string): HostPrograms {
  if (!isControlPlane(host)) return { agent: agentArguments(config, host), dns: dnsArguments(config) }
  return { server: serverArguments(config, host), ...(config.store === 'etcd' ? { etcd: etcdArguments(config, host) } : {}) }
}

function serverArguments(config: ClusterConfigFile, host: string): string[] {
  const ranges = rangesOf(config.ipFamily)
  return [
    '--service-cluster-ip-range', ranges.map(({ serviceRange }) => serviceRange).join(','), '--cluster-cidr', ranges.map(({ podRange }) => podRange).join(','),
    '--cluster-dns', ranges.map(({ clusterDns }) => clusterDns).join(','),
    '--data-dir', `${state}/server`, ...(config.store === 'etcd' ? etcdFlags(config, host) : ['--store', 'sqlite']), '--bind', ranges[0].unspecified, '--port', String(apiServerPort),
    '--advertise-address', hostAddress(config, host), '--route-pods', ...balancerAddresses(config).flatMap((address) => ['--tls-san', address]),
    '--write-kubeconfig', `/var/lib/${shared.kubeconfig}`, '--write-token', `/var/lib/${shared.token}`,
    '--node-monitor-grace-period', `${failureDetection.gracePeriodSeconds}s`,
    '--default-not-ready-toleration-seconds', String(failureDetection.tolerationSeconds),
    '--default-unreachable-toleration-seconds', String(failureDetection.tolerationSeconds),
  ]
}

function agentArguments(config: ClusterConfigFile, host: string): string[] {
  const ranges = rangesOf(config.ipFamily)
  return [
    '--service-cluster-ip-range', ranges.map(({ serviceRange }) => serviceRange).join(','), '--cluster-dns', ranges.map(({ clusterDns }) => clusterDns).join(','),
    '--server', serverUrls(config).join(','), '--token-file', `/var/lib/${shared.token}`, '--node-name', host, '--node-ip', hostAddresses(config, host).join(','),
    '--data-dir', `${state}/agent`, '--overlay', config.overlay, '--node-lease-duration-seconds', String(failureDetection.leaseDurationSeconds),
    ...(config.ingress === true ? ['--ingress', `${inUrl((ranges.at(-1) ?? ranges[0]).unspecified)}:80`] : []),
  ]
}

function dnsArguments({ ipFamily }: ClusterConfigFile): string[] {
  const listen = rangesOf(ipFamily).flatMap(({ clusterDns }) => ['--listen', `${inUrl(clusterDns)}:53`])
  return ['--kubeconfig', `${state}/agent/node.kubeconfig`, '--wait', ...listen, '--zone', 'cluster.local', '--pods', 'verified', '--resolv-conf', '/etc/resolv.conf', '--snapshot', `${state}/dns.snapshot`, '--hand-over', '/run/fairway/dns.sock', '--config-map', 'kube-system/fairway-dns']
}

/** The same files as this machine sees them. */
export function sharedFiles(cluster: string, host: string): { readonly kubeconfig: string; readonly token: string } {
  const { varLib } = clusterPaths(cluster).host(host)
  return { kubeconfig: `${varLib}/${shared.kubeconfig}`, token: `${varLib}/${shared.token}` }
}
