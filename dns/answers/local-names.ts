/** Names that no server but the nearest should be asked for: `localhost` (RFC 6761 section 6.3) and `invalid` (6.4). */
import { RCODE, TYPE, addressRecord, hinfoRecord, isWithin, ptrRecord, soaRecord } from '../wire/index.ts'
import type { ResourceRecord } from '../wire/index.ts'
import { Validity } from '../zone/validity.ts'
import { anyAnswer } from './cluster-zone.ts'
import { reply } from './handler.ts'
import type { Handler } from './handler.ts'

const ttlSeconds = 86_400
const loopback4 = Uint8Array.of(127, 0, 0, 1)
const loopback6 = Uint8Array.from({ length: 16 }, (_, index) => (index === 15 ? 1 : 0))
const reverse4 = '1.0.0.127.in-addr.arpa.'
const reverse6 = `1.${'0.'.repeat(31)}ip6.arpa.`
/** These never change. */
const always = [new Validity()]

export const localNames: Handler = {
  name: 'local names',
  handle({ name, type }) {
    const records = recordsOf(name)
    if (records === undefined) return undefined
    const soa = soaRecord(name, ttlSeconds, { server: 'localhost.', contact: 'nobody.invalid.', serial: 1, minimumSeconds: ttlSeconds })
    if (records.length === 0) return reply({ rcode: RCODE.NXDOMAIN, authoritative: true, authorities: [soa] })
    const answers = type === TYPE.ANY ? [hinfoRecord(name, ttlSeconds, anyAnswer)] : records.filter((record) => record.type === type)
    return reply({ authoritative: true, answers, authorities: answers.length === 0 ? [soa] : [], validity: always })
  },
}

function recordsOf(name: string): ResourceRecord[] | undefined {
  if (isWithin(name, 'localhost.')) return [addressRecord(name, ttlSeconds, loopback4), addressRecord(name, ttlSeconds, loopback6)]
  if (name === reverse4 || name === reverse6) return [ptrRecord(name, ttlSeconds, 'localhost.')]
  return isWithin(name, 'invalid.') ? [] : undefined
}
