import { systemClock } from '../../api/clock.ts'
import { createLogger } from '../../api/log.ts'
import { loadKubeconfig } from '../../api/kubeconfig.ts'
import type { LogLevel } from '../../api/log.ts'
import { startControllers } from '../../controlplane/controllers/index.ts'
import { clientFrom, runUntilSignal } from '../component.ts'
import { elected, processIdentity } from '../elected.ts'

export interface ControllerManagerFlags {
  readonly kubeconfig: string
  readonly clusterCidr: readonly string[]
  readonly controllers: readonly string[]
  readonly nodeMonitorGracePeriod: number
  readonly logLevel: LogLevel
  readonly leaderElect?: boolean
}

/** `fairway controller-manager` */
export async function runControllerManager({ kubeconfig, clusterCidr, controllers, nodeMonitorGracePeriod, logLevel, leaderElect }: ControllerManagerFlags): Promise<void> {
  const { ca } = loadKubeconfig(kubeconfig)
  const part = { client: clientFrom(kubeconfig), clock: systemClock, random: Math.random, log: createLogger({ level: logLevel }) }
  return runUntilSignal(elected('kube-controller-manager', leaderElect === true ? processIdentity() : undefined, part, () => startControllers({
    ...part, ...(ca === undefined ? {} : { rootCA: ca }), clusterCIDRs: clusterCidr, controllers, nodeMonitorGracePeriodMs: nodeMonitorGracePeriod,
  })))
}
