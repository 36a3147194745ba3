import { controlPlaneHosts, hostsOf, isControlPlane, requireConfig } from '../local/config.ts'
import type { ClusterConfigFile } from '../local/config.ts'
import { findSwitch, runInHost, stopHost, switchHost } from '../local/host.ts'
import { takeLock } from '../local/lock.ts'
import { setCable } from '../local/network.ts'
import { hostInits } from '../local/processes.ts'
import { Progress } from '../local/progress.ts'
import { startCluster } from '../local/up.ts'
import { print, requireRoot } from '../terminal.ts'

/** `fairway node stop|start|partition|heal` */
export async function runNode(verb: 'stop' | 'start' | 'partition' | 'heal', host: string, cluster: string): Promise<void> {
  const config = requireConfig(cluster)
  requireHost(config, host)
  requireRoot(`${verb} ${host}`)
  await using _lock = await takeLock(`cluster/${cluster}`, () => print(`Waiting for another fairway command on cluster ${cluster} to end`))
  const runs = hostInits(cluster).has(host)
  switch (verb) {
    case 'stop':
      if (!runs) return print(`${host} is stopped already`)
      await stopHost(cluster, host)
      return print(`${host} is stopped; 'fairway node start${named(cluster)} ${host}' starts it again`)
    case 'start': {
      if (runs) return print(`${host} runs already`)
      if (findSwitch(cluster) === undefined) throw new Error(`Cannot start ${host} of cluster ${cluster}: the cluster is stopped; 'fairway up${named(cluster)}' starts all of it`)
      if (!isControlPlane(host) && !controlPlaneHosts(config).some((one) => hostInits(cluster).has(one))) throw new Error(`Cannot start ${host} of cluster ${cluster}: its control plane is stopped; 'fairway node start${named(cluster)} ${controlPlaneHosts(config)[0] ?? ''}' starts that`)
      using progress = new Progress(process.stdout, () => performance.now())
      await startCluster(config, [host], { progress, signal: new AbortController().signal })
      return undefined
    }
    case 'partition':
    case 'heal': {
      const switchPid = findSwitch(cluster)
      if (!runs || switchPid === undefined) throw new Error(`Cannot ${verb} ${host} of cluster ${cluster}: it does not run`)
      setCable(switchPid, host, verb === 'heal')
      return print(verb === 'heal' ? `The cable of ${host} is plugged in` : `The cable of ${host} is unplugged; 'fairway node heal${named(cluster)} ${host}' plugs it in again`)
    }
  }
}

/** `fairway node exec` */
export async function execInNode(host: string, command: readonly string[], cluster: string): Promise<void> {
  const config = requireConfig(cluster)
  if (host !== switchHost) requireHost(config, host)
  requireRoot(`enter ${host}`)
  const words = command[0] === '--' ? command.slice(1) : command
  process.exitCode = await runInHost(cluster, host, words.length === 0 ? ['bash'] : words)
}

function requireHost(config: ClusterConfigFile, host: string): void {
  const hosts = hostsOf(config)
  if (!hosts.includes(host)) throw new Error(`Cannot find host ${host} in cluster ${config.name}: there are ${hosts.join(', ')}`)
}

function named(cluster: string): string {
  return cluster === 'dev' ? '' : ` --name ${cluster}`
}
