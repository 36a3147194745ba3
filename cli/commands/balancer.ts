import { systemClock } from '../../api/clock.ts'
import { createLogger } from '../../api/log.ts'
import type { LogLevel } from '../../api/log.ts'
import { startBalancer } from '../balancer/index.ts'
import { runUntilSignal } from '../component.ts'
import type { HostPort } from '../option-values.ts'

/** `fairway balancer` */
export function runBalancer({ listen, server, logLevel }: { readonly listen: readonly HostPort[]; readonly server: string; readonly logLevel: LogLevel }): Promise<void> {
  const servers = server.split(',')
  for (const url of servers) if (!URL.canParse(url) || new URL(url).protocol !== 'https:') throw new Error(`Cannot pass connections on to ${url}: --server takes URLs such as https://192.0.2.1:6443`)
  return runUntilSignal(startBalancer({ listen, servers, clock: systemClock, log: createLogger({ level: logLevel }) }))
}
