import { clusterNames, requireConfig } from '../local/config.ts'
import { clusterStatus } from '../local/status.ts'
import type { ClusterStatus, HostStatus } from '../local/status.ts'
import { print, requireRoot, table } from '../terminal.ts'

/** `fairway status`; the exit status is 1 when anything is not as it should be. */
export async function runStatus({ name }: { readonly name?: string }): Promise<void> {
  requireRoot('look at clusters')
  const names = name === undefined ? clusterNames() : [name]
  if (names.length === 0) throw new Error("There is no cluster: 'fairway up' makes one")
  for (const one of names) {
    const status = await clusterStatus(requireConfig(one))
    print(formatStatus(status))
    if (!isHealthy(status)) process.exitCode = 1
  }
}

function formatStatus({ name, server, apiError, hosts }: ClusterStatus): string {
  const rows = [['HOST', 'ADDRESS', 'STATE', 'NODE', 'PODS', 'POD RANGE', 'PROGRAMS (pid, memory)'], ...hosts.map(row)]
  return `Cluster ${name}, API at ${server}${apiError === undefined ? '' : ` does not answer: ${apiError}`}\n\n${table(rows)}\n`
}

function row({ host, address, state, node, programs }: HostStatus): string[] {
  const running = programs.map(({ name, pid, memoryMiB }) => (pid === undefined ? `${name} not running` : `${name} ${pid}, ${memoryMiB} MiB`))
  return [host, address, state, node === undefined ? '-' : node.ready ? 'Ready' : 'NotReady', node === undefined ? '-' : String(node.pods), node?.podCIDR || '-', running.join('; ') || '-']
}

function isHealthy({ apiError, hosts }: ClusterStatus): boolean {
  return apiError === undefined && hosts.every(({ state, programs, node }) => state === 'running' && programs.every(({ pid }) => pid !== undefined) && node?.ready !== false)
}
