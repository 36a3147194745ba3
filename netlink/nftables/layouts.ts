/**
 * Messages of nf_tables, as tables. include/uapi/linux/netfilter/nf_tables.h, nfnetlink.h
 *
 * Integers are big-endian here, unlike in rtnetlink. Names of attributes follow the header's comments.
 */
import { arrayOf, attributes, be16, be32, be64, bytes, codec, cstring, message, readAttributes, struct, u8, writeAttribute, NLA_F_NESTED, NLA_TYPE_MASK } from '../layout.ts'
import type { Codec, Decoded, Encodable } from '../layout.ts'

const NFNL_SUBSYS_NFTABLES = 10
const nft = (message: number): number => (NFNL_SUBSYS_NFTABLES << 8) | message

export const NFNL_MSG_BATCH_BEGIN = 0x10
export const NFNL_MSG_BATCH_END = 0x11
export const NFNLGRP_NFTABLES = 7
/** `resourceId` of batches */
export const BATCH_SUBSYSTEM = NFNL_SUBSYS_NFTABLES

export const NFT_MSG_NEWTABLE = nft(0)
export const NFT_MSG_GETTABLE = nft(1)
export const NFT_MSG_DELTABLE = nft(2)
export const NFT_MSG_NEWCHAIN = nft(3)
export const NFT_MSG_GETCHAIN = nft(4)
export const NFT_MSG_DELCHAIN = nft(5)
export const NFT_MSG_NEWRULE = nft(6)
export const NFT_MSG_GETRULE = nft(7)
export const NFT_MSG_DELRULE = nft(8)
export const NFT_MSG_NEWSET = nft(9)
export const NFT_MSG_GETSET = nft(10)
export const NFT_MSG_DELSET = nft(11)
export const NFT_MSG_NEWSETELEM = nft(12)
export const NFT_MSG_GETSETELEM = nft(13)
export const NFT_MSG_DELSETELEM = nft(14)
export const NFT_MSG_NEWGEN = nft(15)
export const NFT_MSG_GETGEN = nft(16)
// Linux 6.3 and newer
export const NFT_MSG_DESTROYCHAIN = nft(27)
export const NFT_MSG_DESTROYSET = nft(29)
export const NFT_MSG_DESTROYSETELEM = nft(30)

export const NFT_SET_ANONYMOUS = 0x1
export const NFT_SET_INTERVAL = 0x4
export const NFT_SET_MAP = 0x8
export const NFT_SET_TIMEOUT = 0x10
export const NFT_SET_EVAL = 0x20
export const NFT_SET_OBJECT = 0x40
export const NFT_SET_CONCAT = 0x80
export const NFT_CHAIN_BINDING = 0x4
export const NFT_SET_ELEM_INTERVAL_END = 0x1
/** NFTA_SET_DATA_TYPE of verdict maps */
export const NFT_DATA_VERDICT = 0xffff_ff00

const nfgenmsg = struct({ family: u8, version: u8, resourceId: be16 })

const verdict = attributes({ code: [1, be32], chain: [2, cstring] })
const data = attributes({ value: [1, bytes], verdict: [2, verdict] })
export type Data = Decoded<typeof data>

const counter = attributes({ bytes: [1, be64], packets: [2, be64] })

/** What expressions hold, by their names in the kernel. */
const expressionLayouts = {
  immediate: attributes({ dreg: [1, be32], data: [2, data] }),
  payload: attributes({ dreg: [1, be32], base: [2, be32], offset: [3, be32], length: [4, be32] }),
  meta: attributes({ dreg: [1, be32], key: [2, be32], sreg: [3, be32] }),
  ct: attributes({ dreg: [1, be32], key: [2, be32], direction: [3, u8], sreg: [4, be32] }),
  fib: attributes({ dreg: [1, be32], result: [2, be32], flags: [3, be32] }),
  numgen: attributes({ dreg: [1, be32], modulus: [2, be32], type: [3, be32], offset: [4, be32] }),
  hash: attributes({ sreg: [1, be32], dreg: [2, be32], length: [3, be32], modulus: [4, be32], seed: [5, be32], offset: [6, be32], type: [7, be32] }),
  bitwise: attributes({ sreg: [1, be32], dreg: [2, be32], length: [3, be32], mask: [4, data], xor: [5, data], operation: [6, be32] }),
  cmp: attributes({ sreg: [1, be32], operation: [2, be32], data: [3, data] }),
  range: attributes({ sreg: [1, be32], operation: [2, be32], from: [3, data], to: [4, data] }),
  lookup: attributes({ set: [1, cstring], sreg: [2, be32], dreg: [3, be32], flags: [5, be32] }),
  counter,
  nat: attributes({ type: [1, be32], family: [2, be32], addressMin: [3, be32], addressMax: [4, be32], portMin: [5, be32], portMax: [6, be32], flags: [7, be32] }),
  masq: attributes({ flags: [1, be32], portMin: [2, be32], portMax: [3, be32] }),
  redir: attributes({ portMin: [1, be32], portMax: [2, be32], flags: [3, be32] }),
  reject: attributes({ type: [1, be32], code: [2, u8] }),
  notrack: attributes({}),
  dynset: attributes({ set: [1, cstring], operation: [3, be32], keySreg: [4, be32], dataSreg: [5, be32], timeout: [6, be64], flags: [9, be32] }),
  log: attributes({ group: [1, be16], prefix: [2, cstring], level: [5, be32] }),
}
type ExpressionLayouts = typeof expressionLayouts
type ExpressionName = keyof ExpressionLayouts

type Known = { readonly [N in ExpressionName]: { readonly name: N; readonly data: Encodable<ExpressionLayouts[N]> } }
/** An expression as the kernel has it; one whose name is not among ours keeps its bytes. */
export type KernelExpression = Known[ExpressionName] | { readonly name: 'foreign'; readonly of: string; readonly bytes: Buffer }

function layoutOf(name: string): Codec<unknown> | undefined {
  return Object.hasOwn(expressionLayouts, name) ? expressionLayouts[name as ExpressionName] : undefined
}

const NFTA_EXPR_NAME = 1
const NFTA_EXPR_DATA = 2

const expression = codec<KernelExpression>({
  nested: true,
  read(buffer, start, end) {
    let name = ''
    let body = { start: end, end }
    readAttributes(buffer, start, end, (type, from, to) => {
      if ((type & NLA_TYPE_MASK) === NFTA_EXPR_NAME) name = cstring.read(buffer, from, to)
      if ((type & NLA_TYPE_MASK) === NFTA_EXPR_DATA) body = { start: from, end: to }
    })
    const layout = layoutOf(name)
    if (layout !== undefined) {
      const value = layout.read(buffer, body.start, body.end) as { readonly unknown?: unknown }
      if (value.unknown === undefined || name === 'counter') return { name, data: value } as KernelExpression
    }
    return { name: 'foreign', of: name, bytes: Buffer.from(buffer.subarray(body.start, body.end)) }
  },
  write(out, value) {
    writeAttribute(out, NFTA_EXPR_NAME, () => cstring.write(out, value.name === 'foreign' ? value.of : value.name))
    writeAttribute(out, NFTA_EXPR_DATA | NLA_F_NESTED, () => {
      if (value.name === 'foreign') out.append(value.bytes)
      else layoutOf(value.name)?.write(out, value.data)
    })
  },
})

export const batchMessage = message(nfgenmsg, attributes({ generation: [1, be32] }))
export const generationMessage = message(nfgenmsg, attributes({ id: [1, be32], processId: [2, be32], processName: [3, cstring] }))
export const tableMessage = message(nfgenmsg, attributes({ name: [1, cstring], flags: [2, be32], handle: [4, be64], userdata: [6, bytes] }))

const hook = attributes({ number: [1, be32], priority: [2, be32] })
export const chainMessage = message(nfgenmsg, attributes({
  table: [1, cstring], handle: [2, be64], name: [3, cstring], hook: [4, hook], policy: [5, be32], type: [7, cstring], flags: [10, be32], userdata: [12, bytes],
}))

export const ruleMessage = message(nfgenmsg, attributes({
  table: [1, cstring], chain: [2, cstring], handle: [3, be64], expressions: [4, arrayOf(expression)], position: [6, be64], userdata: [7, bytes],
}))

const field = attributes({ length: [1, be32] })
export const setMessage = message(nfgenmsg, attributes({
  table: [1, cstring], name: [2, cstring], flags: [3, be32], keyType: [4, be32], keyLength: [5, be32], dataType: [6, be32], dataLength: [7, be32],
  description: [9, attributes({ size: [1, be32], fields: [2, arrayOf(field)] })],
  id: [10, be32], timeout: [11, be64], userdata: [13, bytes], handle: [16, be64], expression: [17, expression],
}))

/** NFTA_SET_ELEM_*. Writing is done by hand in `elements.ts`, for its speed. */
const elementAttributes = attributes({
  key: [1, data], data: [2, data], flags: [3, be32], timeout: [4, be64], expiration: [5, be64], userdata: [6, bytes], expression: [7, expression], keyEnd: [10, data],
})
export type ElementAttributes = Decoded<typeof elementAttributes>
export const elementsMessage = message(nfgenmsg, attributes({ table: [1, cstring], set: [2, cstring], elements: [3, arrayOf(elementAttributes)] }))

/** Every notification about an object has the name of its table first. */
export const notificationMessage = message(nfgenmsg, attributes({ table: [1, cstring] }))

/** What an expression holds, in bytes. */
export function expressionBytes(expression: KernelExpression): Buffer {
  return expression.name === 'foreign' ? expression.bytes : (layoutOf(expression.name) as Codec<unknown>).encode(expression.data)
}
