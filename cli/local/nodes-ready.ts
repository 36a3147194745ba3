/** Waits for the nodes of a local cluster, through its API. */
import { readFileSync } from 'node:fs'
import { ApiError, Client, isUnavailable } from '../../api/client.ts'
import { httpsTransport } from '../../api/https-transport.ts'
import { parseKubeconfig } from '../../api/kubeconfig.ts'
import { leases, nodes } from '../../api/resources.ts'
import type { Node } from '../../api/types.ts'
import type { ClusterConfigFile } from './config.ts'
import { waitForProgram } from './engine.ts'
import { clusterPaths } from './paths.ts'
import type { Detail } from './progress.ts'

/** A client with the admin's credentials. `close` ends its connections. */
export function adminClient(cluster: string): { readonly client: Client; readonly close: () => void } {
  const { kubeconfig, root } = clusterPaths(cluster)
  const transport = httpsTransport(parseKubeconfig(readFileSync(kubeconfig, 'utf8'), { directory: root }))
  return { client: new Client(transport), close: () => transport.close() }
}

/** Resolves when every one of the hosts is Ready by word of an agent that has been heard since `startedAt`. */
export async function nodesReady(config: ClusterConfigFile, { hosts, startedAt, detail, signal }: { readonly hosts: readonly string[]; readonly startedAt: number; readonly detail: Detail; readonly signal: AbortSignal }): Promise<void> {
  const { client, close } = adminClient(config.name)
  try {
    const waiting = new Set(hosts)
    const look = async (): Promise<boolean> => {
      let lists
      try {
        lists = await Promise.all([client.list(nodes, { signal }), client.list(leases, { namespace: 'kube-node-lease', signal })])
      } catch (error) {
        signal.throwIfAborted()
        // A control plane that has only just come may be away for a moment; the wait has an end.
        if (error instanceof ApiError && !isUnavailable(error)) throw error
        return false
      }
      const [present, heard] = lists
      const heardAt = new Map(heard.items.map(({ metadata, spec }) => [metadata.name, Date.parse(spec?.renewTime ?? '')]))
      for (const node of present.items) if (isReady(node) && (heardAt.get(node.metadata.name) ?? 0) >= startedAt - 1000) waiting.delete(node.metadata.name ?? '')
      if (waiting.size < hosts.length) detail(waiting.size === 0 ? '' : `${hosts.length - waiting.size} of ${hosts.length}`)
      return waiting.size === 0
    }
    // One host is as good as another to look at for a program that fails.
    await waitForProgram(config.name, { host: hosts[0] ?? '', program: 'agent', what: 'the nodes', signal }, look)
  } finally {
    close()
  }
}

export function isReady(node: Node): boolean {
  return node.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true
}
