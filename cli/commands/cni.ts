import { createLogger } from '../../api/log.ts'
import type { LogLevel } from '../../api/log.ts'
import { cniStatus, defaultSocketPath, formatCniStatus, installCni, startCniService, writeNetworkConfig } from '../../cni/index.ts'
import { runUntilSignal } from '../component.ts'
import { print } from '../terminal.ts'

export interface InstallFlags {
  readonly binDir: string
  readonly confDir?: string
  readonly podCidr?: readonly string[]
  readonly socket?: string
}

/** `fairway cni install` */
export function runInstall({ binDir, confDir, podCidr, socket }: InstallFlags): void {
  if (confDir !== undefined && podCidr === undefined) throw new Error('Cannot write a configuration: --conf-dir needs --pod-cidr, the range that pods of this host get addresses from')
  for (const file of installCni({ binDir, socketPath: socket ?? defaultSocketPath })) print(`Wrote ${file}`)
  if (confDir === undefined || podCidr === undefined) return
  writeNetworkConfig({ confDir, podCIDRs: podCidr })
  print(`Wrote a configuration in ${confDir}`)
}

/** `fairway cni serve` */
export function runServe({ socket, logLevel }: { readonly socket?: string; readonly logLevel: LogLevel }): Promise<void> {
  return runUntilSignal(startCniService({ socketPath: socket ?? defaultSocketPath, log: createLogger({ level: logLevel }) }))
}

/** `fairway cni status` */
export async function runStatus({ dataDir }: { readonly dataDir?: string }): Promise<void> {
  print(formatCniStatus(await cniStatus({ dataDir })).trimEnd())
}
