// Node ports, in the same way as cluster IPs: the Services are the record, writes under way are remembered.
import type { KubeObject, Service } from '../../../../api/types.ts'
import type { FieldError, Reservation, WriteContext } from '../../descriptor.ts'
import { internalError, invalid } from '../../status.ts'
import { hasOther } from './others.ts'
import { pickFree } from './pick.ts'

export interface PortRange {
  readonly first: number
  readonly last: number
}

/** Reads `30000-32767`. */
export function parsePortRange(text: string): PortRange {
  const match = /^(\d{1,5})-(\d{1,5})$/.exec(text)
  const [first, last] = [Number(match?.[1]), Number(match?.[2])]
  if (match === null || first < 1 || last > 65_535 || first > last) throw new Error(`Cannot use node port range ${JSON.stringify(text)}: it is not FIRST-LAST, such as 30000-32767`)
  return { first, last }
}

/** Whether the ports of a Service are also opened on every node. */
export function needsNodePorts({ spec }: Service): boolean {
  return spec.type === 'NodePort' || (spec.type === 'LoadBalancer' && spec.allocateLoadBalancerNodePorts !== false)
}

/** Whether the node must say on a port of its own if it has endpoints. */
export function needsHealthCheck({ spec }: Service): boolean {
  return spec.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local'
}

export class NodePorts {
  readonly #range: PortRange
  /** `TCP/30080`, held by writes that have not reached the cache. */
  readonly #held = new Set<string>()

  constructor(range: PortRange) {
    this.#range = range
  }

  /** Gives every port of a Service that has none a node port, and takes those that are asked for. */
  reserve(service: Service, old: Service | undefined, context: WriteContext): Reservation {
    const held: string[] = []
    const release = (): void => held.forEach((key) => void this.#held.delete(key))
    const hold = (key: string): void => {
      this.#held.add(key)
      held.push(key)
    }
    const before = new Set(old === undefined ? [] : keysOf(old))
    const isOthers = (key: string): boolean => hasOther(context, service, keysOf, key)
    const own = new Set<string>()
    const take = (protocol: string, asked: number | undefined, field: string): number => {
      const port = asked ?? this.#pick(protocol, isOthers, own, context)
      const key = `${protocol}/${port}`
      const refusal = asked === undefined || before.has(key) ? undefined : this.#refusal(port, isOthers(key) || this.#held.has(key))
      if (refusal !== undefined) throw invalid({ group: '', kind: 'Service' }, service.metadata.name ?? '', [{ field, type: 'FieldValueInvalid', value: port, detail: refusal } satisfies FieldError])
      own.add(key)
      hold(key)
      return port
    }
    try {
      this.#fill(service, take)
    } catch (error) {
      release()
      throw error
    }
    return { commit: release, rollback: release }
  }

  #fill(service: Service, take: (protocol: string, asked: number | undefined, field: string) => number): void {
    const { spec } = service
    const ports = spec.ports ?? []
    const every = needsNodePorts(service)
    // Those that are asked for first, so that none of them is given to another port of the same Service.
    for (const asking of [true, false]) {
      ports.forEach((port, i) => {
        if ((port.nodePort !== undefined && port.nodePort !== 0) !== asking || (!asking && !every)) return
        port.nodePort = take(port.protocol ?? 'TCP', asking ? port.nodePort : undefined, `spec.ports[${i}].nodePort`)
      })
    }
    if (needsHealthCheck(service)) spec.healthCheckNodePort = take('TCP', spec.healthCheckNodePort || undefined, 'spec.healthCheckNodePort')
  }

  #pick(protocol: string, isOthers: (key: string) => boolean, own: ReadonlySet<string>, { random }: WriteContext): number {
    const { first, last } = this.#range
    const count = last - first + 1
    // KEP-3668: from 16 to 128 of the lower ports are left to those who ask for one.
    const reserved = count > 16 ? Math.min(Math.max(16, Math.floor(count / 32)), 128) : 0
    const isTaken = (port: number): boolean => {
      const key = `${protocol}/${port}`
      return isOthers(key) || own.has(key) || this.#held.has(key)
    }
    const port = pickFree(first, last, reserved, isTaken, random)
    if (port === undefined) throw internalError('failed to allocate a nodePort: range is full')
    return port
  }

  #refusal(port: number, isTaken: boolean): string | undefined {
    const { first, last } = this.#range
    if (port < first || port > last) return `provided port is not in the valid range. The range of valid ports is ${first}-${last}`
    return isTaken ? 'provided port is already allocated' : undefined
  }
}

function keysOf(object: KubeObject): string[] {
  const { spec } = object as Service
  const keys = (spec.ports ?? []).flatMap(({ protocol = 'TCP', nodePort }) => (nodePort === undefined || nodePort === 0 ? [] : [`${protocol}/${nodePort}`]))
  return spec.healthCheckNodePort === undefined || spec.healthCheckNodePort === 0 ? keys : [...keys, `TCP/${spec.healthCheckNodePort}`]
}
