/** Takes a local cluster down, also one of which only parts are left: processes, links, control groups, files, the user's context. */
import { existsSync, readdirSync, rmSync, rmdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { checkClusterName, clusterNames, readConfig } from './config.ts'
import type { ClusterConfigFile } from './config.ts'
import { stopAllHosts } from './host.ts'
import { takeLock } from './lock.ts'
import { disconnectMachine } from './network.ts'
import { closeOutbound } from './outbound.ts'
import { clusterPaths, clustersRoot } from './paths.ts'
import { hostProcesses } from './processes.ts'
import { removeUserContext, userKubeconfigFile } from './user-kubeconfig.ts'

/** Takes a cluster down; resolves to whether there was anything of it. */
export async function down(name: string, say: (line: string) => void): Promise<boolean> {
  checkClusterName(name)
  await using _lock = await takeLock(`cluster/${name}`, () => say(`Waiting for another fairway command on cluster ${name} to end`))
  const wasThere = existsSync(clusterPaths(name).root) || hostProcesses(name).length > 0
  await removeCluster(name)
  return wasThere
}

/** Every cluster of which anything is left. */
export function allClusters(): string[] {
  return [...new Set([...clusterNames(), ...hostProcesses().map(({ cluster }) => cluster)])].sort()
}

/** Removes all of a cluster. The caller holds its lock. */
export async function removeCluster(name: string): Promise<void> {
  const config = readableConfig(name)
  await stopAllHosts(name)
  disconnectMachine(name, config?.subnet)
  await closeOutbound(name)
  for (const file of new Set([config?.userKubeconfig ?? userKubeconfigFile(), userKubeconfigFile()])) await removeUserContext(name, file)
  rmSync(clusterPaths(name).root, { recursive: true, force: true, maxRetries: 5 })
  for (const folder of [clustersRoot, dirname(clustersRoot)]) if (existsSync(folder) && readdirSync(folder).length === 0) rmdirSync(folder)
}

/** What cannot be read is removed all the same. */
function readableConfig(name: string): ClusterConfigFile | undefined {
  try {
    return readConfig(name)
  } catch {
    return undefined
  }
}
