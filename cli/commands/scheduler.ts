import { systemClock } from '../../api/clock.ts'
import { createLogger } from '../../api/log.ts'
import type { LogLevel } from '../../api/log.ts'
import { startScheduler } from '../../controlplane/scheduler/index.ts'
import { clientFrom, runUntilSignal } from '../component.ts'

/** `fairway scheduler` */
export function runScheduler({ kubeconfig, logLevel }: { readonly kubeconfig: string; readonly logLevel: LogLevel }): Promise<void> {
  return runUntilSignal(startScheduler({ client: clientFrom(kubeconfig), clock: systemClock, random: Math.random, log: createLogger({ level: logLevel }) }))
}
