import { runUntilSignal } from '../component.ts'
import { startControlPlane } from '../server/index.ts'
import type { ServerFlags } from '../server/index.ts'

/** `fairway server` */
export function runServer(flags: ServerFlags): Promise<void> {
  return runUntilSignal(startControlPlane(flags))
}
