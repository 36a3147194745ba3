/** What runs in each local host, with which arguments. Paths are as the host sees them. */
import { controlPlaneHost, hostAddress, serverUrl, apiServerPort } from './config.ts'
import type { ClusterConfigFile } from './config.ts'
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
  return host === controlPlaneHost ? { server: serverArguments(config) } : { agent: agentArguments(config, host), dns: dnsArguments() }
}

function serverArguments(config: ClusterConfigFile): string[] {
  return [
    '--data-dir', `${state}/server`, '--store', 'sqlite', '--bind', '0.0.0.0', '--port', String(apiServerPort),
    '--advertise-address', hostAddress(config, controlPlaneHost), '--route-pods',
    '--write-kubeconfig', `/var/lib/${shared.kubeconfig}`, '--write-token', `/var/lib/${shared.token}`,
    '--node-monitor-grace-period', `${failureDetection.gracePeriodSeconds}s`,
    '--default-not-ready-toleration-seconds', String(failureDetection.tolerationSeconds),
    '--default-unreachable-toleration-seconds', String(failureDetection.tolerationSeconds),
  ]
}

function agentArguments(config: ClusterConfigFile, host: string): string[] {
  return [
    '--server', serverUrl(config), '--token-file', `/var/lib/${shared.token}`, '--node-name', host, '--node-ip', hostAddress(config, host),
    '--data-dir', `${state}/agent`, '--overlay', config.overlay, '--node-lease-duration-seconds', String(failureDetection.leaseDurationSeconds),
  ]
}

function dnsArguments(): string[] {
  return ['--kubeconfig', `${state}/agent/node.kubeconfig`, '--wait', '--listen', '10.96.0.10:53', '--zone', 'cluster.local', '--pods', 'verified', '--resolv-conf', '/etc/resolv.conf', '--snapshot', `${state}/dns.snapshot`]
}

/** The same files as this machine sees them. */
export function sharedFiles(cluster: string, host: string): { readonly kubeconfig: string; readonly token: string } {
  const { varLib } = clusterPaths(cluster).host(host)
  return { kubeconfig: `${varLib}/${shared.kubeconfig}`, token: `${varLib}/${shared.token}` }
}
