import { runUntilSignal } from '../component.ts'
import { serveApi } from '../server/index.ts'
import type { ApiServerFlags } from '../server/index.ts'

/** `fairway apiserver` */
export function runApiServer(flags: ApiServerFlags): Promise<void> {
  return runUntilSignal(serveApi(flags))
}
