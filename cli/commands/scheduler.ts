import { systemClock } from '../../api/clock.ts'
import { createLogger } from '../../api/log.ts'
import type { LogLevel } from '../../api/log.ts'
import { startScheduler } from '../../controlplane/scheduler/index.ts'
import { clientFrom, runUntilSignal } from '../component.ts'
import { elected, processIdentity } from '../elected.ts'

/** `fairway scheduler` */
export function runScheduler({ kubeconfig, logLevel, leaderElect }: { readonly kubeconfig: string; readonly logLevel: LogLevel; readonly leaderElect?: boolean }): Promise<void> {
  const part = { client: clientFrom(kubeconfig), clock: systemClock, random: Math.random, log: createLogger({ level: logLevel }) }
  return runUntilSignal(elected('kube-scheduler', leaderElect === true ? processIdentity() : undefined, part, startScheduler))
}
