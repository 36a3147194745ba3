/** What a pod asks of a node: resources and host ports. */
import { parseQuantity } from '../../api/quantity.ts'
import type { Container, Pod } from '../../api/types.ts'

/** Amounts by resource name: cores, bytes, pieces. */
export type Amounts = Readonly<Record<string, number>>

function add(sum: Record<string, number>, more: Amounts): Record<string, number> {
  for (const name in more) sum[name] = (sum[name] ?? 0) + (more[name] ?? 0)
  return sum
}

function raise(sum: Record<string, number>, floor: Amounts): void {
  for (const name in floor) sum[name] = Math.max(sum[name] ?? 0, floor[name] ?? 0)
}

function ofContainer(container: Container): Amounts {
  const requests = { ...container.resources?.limits, ...container.resources?.requests }
  return Object.fromEntries(Object.entries(requests).map(([name, quantity]) => [name, parseQuantity(quantity)]))
}

/**
 * The effective request: the sum over containers and sidecars, or what an init container needs beside the sidecars started before
 * it, whichever is more, plus overhead (KEP-753). Every pod takes one of the node's `pods`.
 */
export function podRequests({ spec }: Pod): Amounts {
  const running: Record<string, number> = {}
  const sidecars: Record<string, number> = {}
  const peak: Record<string, number> = {}
  for (const container of spec.initContainers ?? []) {
    const own = ofContainer(container)
    if (container.restartPolicy === 'Always') {
      add(sidecars, own)
      raise(peak, sidecars)
    } else {
      raise(peak, add({ ...sidecars }, own))
    }
  }
  for (const container of spec.containers) add(running, ofContainer(container))
  add(running, sidecars)
  raise(running, peak)
  for (const [name, quantity] of Object.entries(spec.overhead ?? {})) running[name] = (running[name] ?? 0) + parseQuantity(quantity)
  return { ...running, pods: 1 }
}

export interface HostPort {
  readonly protocol: string
  readonly address: string
  readonly port: number
}

export function hostPorts({ spec }: Pod): HostPort[] {
  return spec.containers.flatMap(({ ports = [] }) => ports)
    .map(({ protocol = 'TCP', hostIP = '0.0.0.0', hostPort, containerPort }) => ({ protocol, address: hostIP === '' ? '0.0.0.0' : hostIP, port: hostPort ?? (spec.hostNetwork === true ? containerPort : 0) }))
    .filter(({ port }) => port > 0)
}

/** Whether two host ports cannot both be open: the unspecified address conflicts with every address. */
export function portsConflict(a: HostPort, b: HostPort): boolean {
  const anywhere = a.address === '0.0.0.0' || b.address === '0.0.0.0'
  return a.protocol === b.protocol && a.port === b.port && (anywhere || a.address === b.address)
}
