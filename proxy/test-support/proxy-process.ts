/** A proxy in a process of its own, in the network namespace it runs in, so that it can be killed. Its parent says what the API server has. */
import { systemClock } from '../../api/clock.ts'
import { createLogger } from '../../api/log.ts'
import type { EndpointSlice, Node, Service } from '../../api/types.ts'
import { startProxy } from '../index.ts'
import { SmallApi } from './api.ts'

export interface Given {
  readonly services?: readonly Service[]
  readonly slices?: readonly EndpointSlice[]
  readonly node?: Node
}

const api = new SmallApi()
let started: Promise<unknown> | undefined

process.on('message', ({ node, services = [], slices = [] }: Given) => {
  if (node !== undefined) api.putNode(node)
  for (const service of services) api.putService(service)
  for (const slice of slices) api.putSlice(slice)
  started ??= startProxy({ client: api.client, nodeName: 'node-1', clock: systemClock, random: Math.random, healthzBindAddress: 'none', log: createLogger({ level: 'warn' }) }).then(() => process.send?.('ready'))
})
process.on('disconnect', () => process.exit())
