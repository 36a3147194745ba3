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

/** The first node's range of the default cluster range: what one host alone can use as it is. */
const defaultPodCidr = ['10.244.0.0/24']

/** `fairway cni install` */
export function runInstall({ binDir, confDir, podCidr = defaultPodCidr, socket }: InstallFlags): void {
  for (const file of installCni({ binDir, socketPath: socket ?? defaultSocketPath })) print(`Wrote ${file}`)
  if (confDir === undefined) return
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
