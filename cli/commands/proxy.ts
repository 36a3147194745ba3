import { systemClock } from '../../api/clock.ts'
import { createLogger } from '../../api/log.ts'
import type { LogLevel } from '../../api/log.ts'
import { cleanupProxy, explainService, startProxy } from '../../proxy/index.ts'
import { clientFrom, runUntilSignal } from '../component.ts'
import type { HostPort } from '../option-values.ts'
import { print } from '../terminal.ts'

export interface ProxyFlags {
  readonly kubeconfig?: string
  readonly nodeName: string
  readonly nodeportAddresses?: readonly string[]
  readonly healthzBindAddress: string
  readonly metricsBindAddress: string
  readonly serviceClusterIpRange?: readonly string[]
  readonly ingress?: readonly HostPort[]
  readonly logLevel: LogLevel
}

/** `fairway proxy` */
export async function runProxy({ kubeconfig, nodeName, nodeportAddresses, healthzBindAddress, metricsBindAddress, serviceClusterIpRange, ingress, logLevel }: ProxyFlags): Promise<void> {
  if (kubeconfig === undefined) throw new Error('Cannot start the proxy: --kubeconfig FILE is needed')
  return runUntilSignal(startProxy({
    client: clientFrom(kubeconfig), nodeName, clock: systemClock, random: Math.random, log: createLogger({ level: logLevel }),
    healthzBindAddress, metricsBindAddress, traffic: metricsBindAddress !== 'none', serviceClusterIPRange: serviceClusterIpRange, ingress, ...(nodeportAddresses === undefined ? {} : { nodePortAddresses: nodeportAddresses }),
  }))
}

/** `fairway proxy cleanup` */
export function runCleanup(): void {
  print(cleanupProxy() ? 'Removed what the proxy made' : 'There was nothing to remove')
}

/** `fairway proxy explain` */
export async function runExplain(service: string, { kubeconfig, nodeName, nodeportAddresses }: Pick<ProxyFlags, 'kubeconfig' | 'nodeName' | 'nodeportAddresses'>): Promise<void> {
  if (kubeconfig === undefined) throw new Error('Cannot explain a service: --kubeconfig FILE is needed')
  print((await explainService({ client: clientFrom(kubeconfig), nodeName, service, nodePortAddresses: nodeportAddresses })).trimEnd())
  process.exit(0)
}
