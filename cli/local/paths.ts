/** Where a local cluster keeps what: everything of it is below one folder, so that taking it down is removing that. */
import { join } from 'node:path'

/** Files of one cluster on this machine. */
export interface ClusterPaths {
  readonly root: string
  readonly config: string
  /** Admin credentials. */
  readonly kubeconfig: string
  /** What hosts show to join. */
  readonly token: string
  host(name: string): HostPaths
}

/** Files of one host, as this machine sees them. */
export interface HostPaths {
  readonly root: string
  /** Becomes /var/lib in the host. */
  readonly varLib: string
  readonly logs: string
  readonly initLog: string
}

export const clustersRoot = '/var/lib/fairway/clusters'

export function clusterPaths(name: string): ClusterPaths {
  const root = join(clustersRoot, name)
  return {
    root,
    config: join(root, 'cluster.json'),
    kubeconfig: join(root, 'admin.kubeconfig'),
    token: join(root, 'join-token'),
    host: (host) => {
      const hostRoot = join(root, 'hosts', host)
      return { root: hostRoot, varLib: join(hostRoot, 'var-lib'), logs: join(hostRoot, 'log'), initLog: join(hostRoot, 'log', 'init.log') }
    },
  }
}
