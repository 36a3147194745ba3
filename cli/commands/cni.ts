import { resolve } from 'node:path'
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
  readonly ipMasq: boolean
}

/** The first node's range of the default cluster range: what one host alone can use as it is. */
const defaultPodCidr = ['10.244.0.0/24']

/** Executables are run from any folder. */
function socketOf(flag: string | undefined): string {
  return flag === undefined || flag === '' ? defaultSocketPath : resolve(flag)
}

function folderOf(flag: string, value: string): string {
  if (value === '') throw new Error(`Cannot install the plugins: ${flag} names no folder`)
  return resolve(value)
}

/** `fairway cni install` */
export function runInstall({ binDir, confDir, podCidr = defaultPodCidr, socket, ipMasq }: InstallFlags): void {
  const [bin, conf] = [folderOf('--bin-dir', binDir), confDir === undefined ? undefined : folderOf('--conf-dir', confDir)]
  for (const file of installCni({ binDir: bin, socketPath: socketOf(socket) })) print(`Wrote ${file}`)
  if (conf === undefined) return
  writeNetworkConfig({ confDir: conf, podCIDRs: podCidr, ipMasq })
  print(`Wrote a configuration in ${conf}`)
}

/** `fairway cni serve` */
export function runServe({ socket, logLevel }: { readonly socket?: string; readonly logLevel: LogLevel }): Promise<void> {
  return runUntilSignal(startCniService({ socketPath: socketOf(socket), log: createLogger({ level: logLevel }) }))
}

/** `fairway cni status` */
export async function runStatus({ dataDir, confDir }: { readonly dataDir?: string; readonly confDir?: string }): Promise<void> {
  print(formatCniStatus(await cniStatus({ dataDir, confDir })).trimEnd())
}
