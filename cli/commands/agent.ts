import { existsSync, readFileSync } from 'node:fs'
import { systemClock } from '../../api/clock.ts'
import { createLogger } from '../../api/log.ts'
import type { Backend } from '../../cni/index.ts'
import { startAgent } from '../agent/index.ts'
import { runUntilSignal } from '../component.ts'
import { addressAndPort } from '../option-values.ts'
import type { HostPort } from '../option-values.ts'
import { addressTowards, parseLabels, runtimeSocket } from '../agent/node-flags.ts'
import type { NodeFlags } from '../agent/node-flags.ts'

export interface AgentFlags extends NodeFlags {
  readonly server: string
  readonly token?: string
  readonly tokenFile?: string
  readonly overlay: Backend
  readonly wireguardProgram?: string
  readonly metricsBindAddress: string
  readonly serviceClusterIpRange: readonly string[]
  readonly ingress?: readonly HostPort[]
}

const pollMs = 50

/** `fairway agent` */
export async function runAgent(flags: AgentFlags): Promise<void> {
  if (!URL.canParse(flags.server) || new URL(flags.server).protocol !== 'https:') throw new Error(`Cannot join ${flags.server}: --server must be a URL such as https://192.0.2.1:6443`)
  return runUntilSignal(startAgent({
    server: new URL(flags.server).origin,
    token: () => tokenOf(flags),
    nodeName: flags.nodeName,
    addresses: flags.nodeIp ?? [await addressTowards(new URL(flags.server).hostname)],
    dataDir: flags.dataDir,
    overlay: flags.overlay,
    wireguard: { program: flags.wireguardProgram },
    runtimeEndpoint: runtimeSocket(flags),
    sandboxImage: flags.podInfraContainerImage,
    clusterDns: flags.clusterDns,
    clusterDomain: flags.clusterDomain,
    nodeLabels: parseLabels(flags.nodeLabels),
    leaseDurationSeconds: flags.nodeLeaseDurationSeconds,
    podsMax: flags.maxPods,
    metrics: flags.metricsBindAddress === 'none' ? undefined : addressAndPort(flags.metricsBindAddress),
    serviceClusterIPRange: flags.serviceClusterIpRange,
    ingress: flags.ingress,
    clock: systemClock,
    random: Math.random,
    log: createLogger({ level: flags.logLevel }),
  }))
}

async function tokenOf({ token, tokenFile }: AgentFlags): Promise<string> {
  if (token !== undefined) return token
  if (tokenFile === undefined) throw new Error('Cannot join: this node has no certificate yet, and neither --token nor --token-file is given')
  while (!existsSync(tokenFile)) await systemClock.sleep(pollMs)
  return readFileSync(tokenFile, 'utf8')
}
