/** Names of addresses: the cluster's own from the index; other private ones are nobody's when there is no outside to ask. */
import { EDE, RCODE, TYPE, addressOfReverse, hinfoRecord, isWithin, soaRecord } from '../wire/index.ts'
import type { ClusterIndex } from '../zone/cluster-index.ts'
import { anyAnswer } from './cluster-zone.ts'
import { failure, reply } from './handler.ts'
import type { Handler } from './handler.ts'

/** Zones of addresses that mean nothing beyond their own network (RFC 6303 section 4, RFC 6598 for 100.64.0.0/10). */
const privateZones: readonly string[] = [
  '10.in-addr.arpa.', '168.192.in-addr.arpa.', '254.169.in-addr.arpa.', ...Array.from({ length: 16 }, (_, index) => `${16 + index}.172.in-addr.arpa.`),
  ...Array.from({ length: 64 }, (_, index) => `${64 + index}.100.in-addr.arpa.`), 'c.f.ip6.arpa.', 'd.f.ip6.arpa.', '8.e.f.ip6.arpa.', '9.e.f.ip6.arpa.', 'a.e.f.ip6.arpa.', 'b.e.f.ip6.arpa.',
]
const reverseZones: readonly string[] = ['in-addr.arpa.', 'ip6.arpa.']

export interface ReverseZoneOptions {
  readonly index: ClusterIndex
  readonly isReady: () => boolean
  /** Whether a name that is not the cluster's can be asked for elsewhere. */
  readonly hasOutside: (name: string) => boolean
  readonly negativeTtlSeconds: number
}

export function reverseZone({ index, isReady, hasOutside, negativeTtlSeconds }: ReverseZoneOptions): Handler {
  return {
    name: 'reverse zone',
    handle({ name, type }) {
      if (!reverseZones.some((zone) => isWithin(name, zone))) return undefined
      const address = addressOfReverse(name)
      const zone = privateZones.find((one) => isWithin(name, one))
      const { node, validity } = address === undefined ? { node: undefined, validity: undefined } : index.lookupAddress(address)
      const kept = validity === undefined ? undefined : [validity]
      const soa = soaRecord(zone ?? name, negativeTtlSeconds, { server: `ns.dns.${index.zone}`, contact: `hostmaster.${index.zone}`, serial: 1, minimumSeconds: negativeTtlSeconds })
      if (node !== undefined) {
        if (type === TYPE.ANY) return reply({ authoritative: true, answers: [hinfoRecord(name, negativeTtlSeconds, anyAnswer)], validity: kept })
        const answers = node.records.get(type) ?? []
        return reply({ authoritative: true, answers, authorities: answers.length === 0 ? [soa] : [], validity: kept })
      }
      if (zone === undefined) return undefined
      if (!isReady()) return failure(RCODE.SERVFAIL, EDE.notReady, 'the addresses of the cluster are not known yet')
      if (hasOutside(name)) return undefined
      // Parts of a reverse name may have names below them: they exist, without data (RFC 8020).
      return reply({ rcode: isPart(name) ? RCODE.NOERROR : RCODE.NXDOMAIN, authoritative: true, authorities: [soa], validity: kept })
    },
  }
}

/** Whether names of addresses may stand below a name: `0.10.in-addr.arpa.` is part of some, `300.10.in-addr.arpa.` and `x.10.in-addr.arpa.` of none. */
function isPart(name: string): boolean {
  return /^((25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){1,3}in-addr\.arpa\.$/.test(name) || /^([0-9a-f]\.){1,31}ip6\.arpa\.$/.test(name)
}
