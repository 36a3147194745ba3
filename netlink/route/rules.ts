/**
 * Policy rules: which routing table a packet is looked up in.
 */
import { parsePrefix } from '../addresses.ts'
import { AF_INET, AF_INET6 } from '../ffi.ts'
import { NLM_F_CREATE, NLM_F_EXCL } from '../socket.ts'
import {
  FIB_RULE_INVERT, FR_ACT_BLACKHOLE, FR_ACT_PROHIBIT, FR_ACT_TO_TBL, FR_ACT_UNREACHABLE, RTM_DELRULE, RTM_GETRULE, RTM_NEWRULE, RTPROT_STATIC,
  RT_TABLE_COMPAT, RT_TABLE_UNSPEC, ruleMessage,
} from './layouts.ts'
import type { RuleMessage } from './layouts.ts'
import { familyNumber, familyOf } from './transport.ts'
import type { Family, RouteTransport } from './transport.ts'

const actions = { table: FR_ACT_TO_TBL, blackhole: FR_ACT_BLACKHOLE, unreachable: FR_ACT_UNREACHABLE, prohibit: FR_ACT_PROHIBIT } as const
export type RuleAction = keyof typeof actions

/** A rule as the kernel has it. */
export interface Rule {
  readonly family: Family
  readonly priority: number
  readonly action: RuleAction | 'other'
  readonly table: number
  /** prefix of the source address */
  readonly from?: string | undefined
  /** prefix of the destination address */
  readonly to?: string | undefined
  readonly mark?: number | undefined
  readonly mask?: number | undefined
  readonly inputLink?: string | undefined
  readonly outputLink?: string | undefined
  readonly invert: boolean
  readonly protocol: number
}

/** A rule to be made or removed. The family is that of `from` or `to`, else `family`, else IPv4. */
export interface RuleSpec {
  readonly family?: Family | undefined
  readonly priority: number
  readonly action?: RuleAction | undefined
  readonly table?: number | undefined
  readonly from?: string | undefined
  readonly to?: string | undefined
  readonly mark?: number | undefined
  readonly mask?: number | undefined
  readonly inputLink?: string | undefined
  readonly outputLink?: string | undefined
  readonly invert?: boolean | undefined
  readonly protocol?: number | undefined
}

/** The `rules` part of a route socket. */
export class Rules {
  readonly #transport: RouteTransport

  constructor(transport: RouteTransport) {
    this.#transport = transport
  }

  list(filter: { family?: Family } = {}): Rule[] {
    const families = filter.family === undefined ? [AF_INET, AF_INET6] : [familyNumber(filter.family)]
    return families.flatMap((family) =>
      this.#transport
        .dump(RTM_GETRULE, 0, ruleMessage.encode({ header: { family }, attributes: {} }), { operation: 'list', object: 'rules' })
        .map(({ payload }) => readRule(ruleMessage.decode(payload))),
    )
  }

  /** EEXIST if there is one that says the same. */
  add(spec: RuleSpec): void {
    this.#transport.request(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, encodeRule(spec, RTPROT_STATIC), { operation: 'add', object: describe(spec) })
  }

  /** Removes the first rule that has all that the spec says. ENOENT if there is none. */
  delete(spec: RuleSpec): void {
    this.#transport.request(RTM_DELRULE, 0, encodeRule(spec, undefined), { operation: 'delete', object: describe(spec) })
  }
}

function describe(spec: RuleSpec): string {
  const from = spec.from === undefined ? '' : ` from ${spec.from}`
  const to = spec.to === undefined ? '' : ` to ${spec.to}`
  const mark = spec.mark === undefined ? '' : ` mark 0x${spec.mark.toString(16)}`
  return `rule ${spec.priority}:${from}${to}${mark} ${spec.action ?? `table ${spec.table ?? 'none'}`}`
}

function encodeRule(spec: RuleSpec, protocol: number | undefined): Buffer {
  const from = spec.from === undefined ? undefined : parsePrefix(spec.from)
  const to = spec.to === undefined ? undefined : parsePrefix(spec.to)
  const example = from?.address ?? to?.address
  const table = spec.table ?? RT_TABLE_UNSPEC
  return ruleMessage.encode({
    header: {
      family: example === undefined ? familyNumber(spec.family ?? 'ipv4') : familyOf(example),
      destinationLength: to?.prefixLength,
      sourceLength: from?.prefixLength,
      table: table < 256 ? table : RT_TABLE_COMPAT,
      action: actions[spec.action ?? 'table'],
      flags: spec.invert === true ? FIB_RULE_INVERT : 0,
    },
    attributes: {
      priority: spec.priority,
      ...(from === undefined || from.prefixLength === 0 ? {} : { from: from.address }),
      ...(to === undefined || to.prefixLength === 0 ? {} : { to: to.address }),
      mark: spec.mark,
      mask: spec.mask,
      ...(table === RT_TABLE_UNSPEC ? {} : { table }),
      inputLink: spec.inputLink,
      outputLink: spec.outputLink,
      protocol: spec.protocol ?? protocol,
    },
  })
}

function prefix(address: string | undefined, length: number): string | undefined {
  return address === undefined ? undefined : `${address}/${length}`
}

/** A rule from its message. */
export function readRule({ header, attributes }: RuleMessage): Rule {
  const action = Object.entries(actions).find(([, number]) => number === header.action)
  return {
    family: header.family === AF_INET ? 'ipv4' : 'ipv6',
    priority: attributes.priority ?? 0,
    action: action === undefined ? 'other' : (action[0] as RuleAction),
    table: attributes.table ?? header.table,
    from: prefix(attributes.from, header.sourceLength),
    to: prefix(attributes.to, header.destinationLength),
    mark: attributes.mark,
    mask: attributes.mask,
    inputLink: attributes.inputLink,
    outputLink: attributes.outputLink,
    invert: (header.flags & FIB_RULE_INVERT) !== 0,
    protocol: attributes.protocol ?? 0,
  }
}
