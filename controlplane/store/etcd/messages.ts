// The part of etcd's v3 API that the store uses: etcdserver/etcdserverpb/rpc.proto and mvcc/mvccpb/kv.proto of etcd 3.4. Names and numbers are etcd's.
import { bool, bytes, int, Layout, many, one, text } from './protobuf.ts'
import type { Decoded, Sent } from './protobuf.ts'

const header = new Layout({ revision: int(3) })

const keyValue = new Layout({ key: bytes(1), create_revision: int(2), mod_revision: int(3), value: bytes(5) })

const rangeRequest = new Layout({ key: bytes(1), range_end: bytes(2), limit: int(3), revision: int(4), keys_only: bool(8), count_only: bool(9) })
const rangeResponse = new Layout({ header: one(1, header), kvs: many(2, keyValue), count: int(4) })

const putRequest = new Layout({ key: bytes(1), value: bytes(2) })
const deleteRangeRequest = new Layout({ key: bytes(1) })
/** Of the three, one. */
const requestOp = new Layout({ request_range: one(1, rangeRequest), request_put: one(2, putRequest), request_delete_range: one(3, deleteRangeRequest) })
const responseOp = new Layout({ response_range: one(1, rangeResponse) })

/** `result` 0 is EQUAL, `target` 2 is MOD. */
const compare = new Layout({ result: int(1), target: int(2), key: bytes(3), mod_revision: int(6) })
const txnRequest = new Layout({ compare: many(1, compare), success: many(2, requestOp), failure: many(3, requestOp) })
const txnResponse = new Layout({ header: one(1, header), succeeded: bool(2), responses: many(3, responseOp) })

const compactionRequest = new Layout({ revision: int(1) })
const nothing = new Layout({})

/** `type` 0 is PUT, 1 is DELETE. */
const event = new Layout({ type: int(1), kv: one(2, keyValue) })
const watchCreateRequest = new Layout({ key: bytes(1), range_end: bytes(2), start_revision: int(3), fragment: bool(8) })
export const watchRequest = new Layout({ create_request: one(1, watchCreateRequest) })
export const watchResponse = new Layout({ header: one(1, header), canceled: bool(4), compact_revision: int(5), cancel_reason: text(6), events: many(11, event) })

export const watchPath = '/etcdserverpb.Watch/Watch'
export const methods = {
  Range: { path: '/etcdserverpb.KV/Range', request: rangeRequest, reply: rangeResponse },
  Txn: { path: '/etcdserverpb.KV/Txn', request: txnRequest, reply: txnResponse },
  Compact: { path: '/etcdserverpb.KV/Compact', request: compactionRequest, reply: nothing },
  Defragment: { path: '/etcdserverpb.Maintenance/Defragment', request: nothing, reply: nothing },
} as const

export type EtcdKeyValue = Decoded<typeof keyValue>
export type RangeRequest = Sent<Decoded<typeof rangeRequest>>
export type RangeReply = Decoded<typeof rangeResponse>
export type TxnReply = Decoded<typeof txnResponse>
export type WatchReply = Decoded<typeof watchResponse>
