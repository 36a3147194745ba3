/** The agent: all that a node runs beside its container engine and DNS server, in one process. */
import { Client } from '../../api/client.ts'
import type { Clock, Random } from '../../api/clock.ts'
import type { Component } from '../../api/component.ts'
import { httpsTransport } from '../../api/https-transport.ts'
import type { Logger } from '../../api/log.ts'
import { CniMetrics, defaultBinDir, defaultConfDir, defaultDataDir, defaultSocketPath, installCni, rangeUse, startClusterDns, startCniService, startOverlay } from '../../cni/index.ts'
import type { Backend } from '../../cni/index.ts'
import { startPolicy } from '../../cni/policy/index.ts'
import { startKubelet } from '../../kubelet/index.ts'
import { createDockerRuntime } from '../../kubelet/index.ts'
import { startProxy } from '../../proxy/index.ts'
import type { Proxy } from '../../proxy/index.ts'
import { together } from '../component.ts'
import { startMetrics } from './metrics.ts'
import { nodeIdentity } from './identity.ts'
import type { JoinOptions } from './identity.ts'

export interface AgentOptions extends JoinOptions {
  readonly overlay: Backend
  /** What encrypts where the kernel cannot. */
  readonly wireguard?: { readonly program?: string | undefined } | undefined
  /** The engine's socket. */
  readonly runtimeEndpoint: string
  readonly sandboxImage: string
  readonly clusterDns: readonly string[]
  readonly clusterDomain: string
  readonly nodeLabels: Readonly<Record<string, string>>
  readonly leaseDurationSeconds: number
  readonly podsMax: number
  /** Ranges of cluster IPs: what is sent to one without a service is dropped. */
  readonly serviceClusterIPRange: readonly string[]
  /** Where ingresses are served; left out, nowhere. */
  readonly ingress?: readonly { readonly address: string; readonly port: number }[] | undefined
  /** Where `/metrics` of CNI plugin, overlay and proxy is served; left out, nowhere. */
  readonly metrics?: { readonly address: string; readonly port: number } | undefined
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}

const kubeletPort = 10_250

/** Joins if need be, then starts every part. Ends with the first that ends. */
export async function startAgent(options: AgentOptions): Promise<Component> {
  const { nodeName, dataDir, clusterDns, metrics: metricsAt, clock, random, log } = options
  const identity = await nodeIdentity(options)
  const transport = httpsTransport(identity.config)
  const client = new Client(transport)
  const part = (name: string): { client: Client; nodeName: string; clock: Clock; random: Random; log: Logger } => ({ client, nodeName, clock, random, log: log.with({ part: name }) })
  const metrics = new CniMetrics()
  let proxy: Proxy | undefined
  installCni({ binDir: defaultBinDir, socketPath: defaultSocketPath })
  return together([
    () => startCniService({ socketPath: defaultSocketPath, log: log.with({ part: 'cni' }), metrics }),
    () => startOverlay({ ...part('overlay'), backend: options.overlay, wireguard: options.wireguard, confDir: defaultConfDir, dataDir: defaultDataDir, clusterDns, metrics }),
    ...(metricsAt === undefined ? [] : [() => startMetrics({ ...metricsAt, text: async () => `${metrics.text(rangeUse())}${(await proxy?.metricsText()) ?? ''}` })]),
    () => Promise.resolve(startClusterDns({ addresses: clusterDns, zone: options.clusterDomain, clock, log: log.with({ part: 'cluster-dns' }) })),
    () => Promise.resolve(startPolicy(part('policy'))),
    async () => (proxy = await startProxy({ ...part('proxy'), serviceClusterIPRange: options.serviceClusterIPRange, ingress: options.ingress, traffic: metricsAt !== undefined })),
    () => startKubelet({
      ...part('kubelet'),
      nodeAddresses: options.addresses,
      nodeLabels: options.nodeLabels,
      runtime: createDockerRuntime({ socketPath: options.runtimeEndpoint, sandboxImage: options.sandboxImage }),
      dataDir: `${dataDir}/kubelet`,
      cni: { binDir: defaultBinDir, confDir: defaultConfDir, cacheDir: `${defaultDataDir}/cache` },
      clusterDns,
      clusterDomain: options.clusterDomain,
      server: { address: options.addresses[0]?.includes(':') === true ? '::' : '0.0.0.0', port: kubeletPort, ...identity.serving, clientCa: identity.ca },
      leaseDurationSeconds: options.leaseDurationSeconds,
      podsMax: options.podsMax,
    }),
    { atEnd: () => transport.close() },
  ])
}
