// Cluster IPs: who has which is what the Services say. Only what writes under way hold is remembered beside them, so
// there is nothing to rebuild at a start and nothing that could leak.
import type { IPFamily, KubeObject, Service } from '../../../../api/types.ts'
import type { Reservation, WriteContext } from '../../descriptor.ts'
import { valueAt } from '../../object.ts'
import { internalError, invalid } from '../../status.ts'
import { AddressRange } from './address-range.ts'
import { hasOther } from './others.ts'
import { pickFree } from './pick.ts'

export class ClusterIPs {
  readonly #ranges: readonly AddressRange[]
  /** Held by writes that have not reached the cache. */
  readonly #held = new Set<string>()

  constructor(cidrs: readonly string[]) {
    this.#ranges = cidrs.map((cidr) => new AddressRange(cidr))
    if (this.#ranges.length === 0) throw new Error('Cannot give out cluster IPs: there is no service range')
  }

  /** Families that have a range, the default one first. */
  get families(): readonly IPFamily[] {
    return this.#ranges.map(({ family }) => family)
  }

  /** Fills `clusterIP` and `clusterIPs` for every family of the Service that has no address, and takes those that are asked for. */
  reserve(service: Service, old: Service | undefined, context: WriteContext): Reservation {
    const { spec } = service
    if (spec.type === 'ExternalName' || spec.clusterIPs?.[0] === 'None') return nothing
    const before = new Set(old?.spec.clusterIPs ?? [])
    const isTaken = (address: string): boolean => hasOther(context, service, clusterIPsOf, address)
    const held: string[] = []
    const hold = (address: string): void => {
      this.#held.add(address)
      held.push(address)
    }
    const release = (): void => held.forEach((address) => void this.#held.delete(address))
    const addresses = [...(spec.clusterIPs ?? [])]
    try {
      for (const [i, family] of (spec.ipFamilies ?? []).entries()) {
        const asked = addresses[i]
        if (asked !== undefined && before.has(asked)) continue
        const ranges = [...this.#ranges, ...furtherRanges(context)].filter((range) => range.family === family)
        if (ranges.length === 0) throw internalError(`failed to allocate a serviceIP: no range for ${family}`)
        if (asked === undefined) addresses[i] = this.#pick(ranges, isTaken, context)
        else this.#checkAsked(service, ranges, asked, (address) => isTaken(address) || isSetAside(context, address))
        hold(addresses[i] as string)
      }
    } catch (error) {
      release()
      throw error
    }
    spec.clusterIPs = addresses
    if (addresses[0] !== undefined) spec.clusterIP = addresses[0]
    return { commit: release, rollback: release }
  }

  #pick(ranges: readonly AddressRange[], isOthers: (address: string) => boolean, context: WriteContext): string {
    for (const range of ranges) {
      const address = this.#pickIn(range, isOthers, context)
      if (address !== undefined) return address
    }
    throw internalError('failed to allocate a serviceIP: range is full')
  }

  #pickIn(range: AddressRange, isOthers: (address: string) => boolean, context: WriteContext): string | undefined {
    // KEP-3070: from 16 to 256 of the lower addresses are left to those who ask for one.
    const reserved = Math.min(Math.max(16, Math.floor(range.last / 16)), 256)
    const isTaken = (offset: number): boolean => {
      const address = range.at(offset)
      return isOthers(address) || this.#held.has(address) || isSetAside(context, address)
    }
    const offset = pickFree(range.first, range.last, range.last > 16 ? reserved : 0, isTaken, context.random)
    return offset === undefined ? undefined : range.at(offset)
  }

  #checkAsked(service: Service, ranges: readonly AddressRange[], address: string, isTaken: (address: string) => boolean): void {
    const refuse = (why: string): never => {
      const detail = `failed to allocate IP ${address}: ${why}`
      throw invalid({ group: '', kind: 'Service' }, service.metadata.name ?? '', [{ field: 'spec.clusterIPs', type: 'FieldValueInvalid', detail, value: service.spec.clusterIPs }])
    }
    if (!ranges.some((range) => range.contains(address))) refuse(`the provided IP (${address}) is not in the valid range. The range of valid IPs is ${ranges.map(({ cidr }) => cidr).join(',')}`)
    if (isTaken(address) || this.#held.has(address)) refuse('provided IP is already allocated')
  }
}

const nothing: Reservation = { commit: () => undefined, rollback: () => undefined }

/** Ranges that ServiceCIDRs add to those that the server began with. */
function furtherRanges(context: WriteContext): AddressRange[] {
  return context
    .list('servicecidrs.networking.k8s.io')
    .filter(({ metadata }) => metadata.name !== 'kubernetes' && metadata.deletionTimestamp === undefined)
    .flatMap((object) => (valueAt(object, '.spec.cidrs') as readonly string[] | undefined) ?? [])
    .map((cidr) => new AddressRange(cidr))
}

/** Whether somebody set an address aside by an IPAddress of their own. */
function isSetAside(context: WriteContext, address: string): boolean {
  const object = context.lookup('ipaddresses.networking.k8s.io', undefined, address)
  return object !== undefined && object.metadata.labels?.['ipaddress.kubernetes.io/managed-by'] !== 'ipallocator.k8s.io'
}

function clusterIPsOf(object: KubeObject): readonly string[] {
  return (object as Service).spec.clusterIPs ?? []
}
