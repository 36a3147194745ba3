/** Questions that this server answers for no name: other classes, zone transfers, and what is no type to ask for. */
import { CLASS, EDE, RCODE, TYPE } from '../wire/index.ts'
import { failure } from './handler.ts'
import type { Handler } from './handler.ts'

const transfers: readonly number[] = [TYPE.AXFR, TYPE.IXFR, TYPE.MAILA, TYPE.MAILB]
/** Types of records that are only ever part of a message (RFC 6895 section 3.1). */
const metaTypes: readonly number[] = [0, TYPE.OPT, TYPE.TSIG, TYPE.TKEY]

export const refusals: Handler = {
  name: 'refusals',
  handle({ question, type }) {
    if (question.class !== CLASS.IN) return failure(RCODE.REFUSED, EDE.notSupported, 'only class IN is served')
    if (transfers.includes(type)) return failure(RCODE.REFUSED, EDE.prohibited, 'zone transfers are not served')
    if (metaTypes.includes(type)) return failure(RCODE.FORMERR, EDE.notSupported, 'this type cannot be asked for')
    return undefined
  },
}
