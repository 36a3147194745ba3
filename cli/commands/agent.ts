import { existsSync, readFileSync } from 'node:fs'
import { systemClock } from '../../api/clock.ts'
import { createLogger } from '../../api/log.ts'
import type { Logger } from '../../api/log.ts'
import type { Backend } from '../../cni/index.ts'
import { startAgent } from '../agent/index.ts'
import type { AgentOptions } from '../agent/index.ts'
import { startBalancer } from '../balancer/index.ts'
import { runUntilSignal, together } from '../component.ts'
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
/** Where the balancer before several API servers listens. */
const balancerAt = { address: '127.0.0.1', port: 6444 } as const

/** `fairway agent` */
export async function runAgent(flags: AgentFlags): Promise<void> {
  const servers = flags.server.split(',').map((server) => {
    if (!URL.canParse(server) || new URL(server).protocol !== 'https:') throw new Error(`Cannot join ${server}: --server must be a URL such as https://192.0.2.1:6443`)
    return new URL(server)
  })
  const log = createLogger({ level: flags.logLevel })
  const first = servers[0] as URL
  if (servers.length === 1) return runUntilSignal(startAgent(await optionsOf(flags, first, first.origin, log)))
  const options = await optionsOf(flags, first, `https://${balancerAt.address}:${balancerAt.port}`, log)
  // Its parts, and the DNS server beside it, speak to one address that stays.
  return runUntilSignal(together([
    () => startBalancer({ listen: [balancerAt], servers: servers.map(({ origin }) => origin), clock: systemClock, log: log.with({ part: 'balancer' }) }),
    () => startAgent(options),
  ]))
}

async function optionsOf(flags: AgentFlags, first: URL, server: string, log: Logger): Promise<AgentOptions> {
  return {
    server,
    token: () => tokenOf(flags),
    nodeName: flags.nodeName,
    addresses: flags.nodeIp ?? [await addressTowards(first.hostname)],
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
    log,
  }
}

async function tokenOf({ token, tokenFile }: AgentFlags): Promise<string> {
  if (token !== undefined) return token
  if (tokenFile === undefined) throw new Error('Cannot join: this node has no certificate yet, and neither --token nor --token-file is given')
  while (!existsSync(tokenFile)) await systemClock.sleep(pollMs)
  return readFileSync(tokenFile, 'utf8')
}
