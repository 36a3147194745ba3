/**
 * What others do to nftables. The kernel announces every object of a transaction, then the new generation, each with the port of the
 * socket that asked for it; of our own transactions, which may hold a hundred thousand objects, a filter lets nothing through.
 */
import { attachFilter, socketName } from '../ffi.ts'
import type { Netns } from '../netns.ts'
import { NETLINK_NETFILTER, NetlinkSocket } from '../socket.ts'
import type { Listening, Message } from '../socket.ts'
import { NFNLGRP_NFTABLES, NFT_MSG_NEWGEN, generationMessage, notificationMessage } from './layouts.ts'
import { familyNumbers } from './operations.ts'
import type { NftablesEvent, TableFamily, TableId } from './types.ts'
import { describeTable } from './words.ts'

const RECEIVE_BYTES = 4 << 20
const PORT_OFFSET = 12 // nlmsg_pid in struct nlmsghdr

// include/uapi/linux/filter.h: code 16, jump if true 8, jump if false 8, constant 32
const BPF_LOAD_WORD = 0x20
const BPF_JUMP_EQUAL = 0x15
const BPF_RETURN = 0x06

/** Drops datagrams that answer to one port. Classic filters load words as big-endian, whatever lies there. */
function withoutPort(port: number): Buffer {
  const swapped = Buffer.alloc(4)
  swapped.writeUInt32LE(port)
  const program = [[BPF_LOAD_WORD, 0, 0, PORT_OFFSET], [BPF_JUMP_EQUAL, 0, 1, swapped.readUInt32BE()], [BPF_RETURN, 0, 0, 0], [BPF_RETURN, 0, 0, 0xffff_ffff]] as const
  const bytes = Buffer.alloc(8 * program.length)
  for (const [index, [code, ifTrue, ifFalse, constant]] of program.entries()) {
    bytes.writeUInt16LE(code, 8 * index)
    bytes.writeUInt8(ifTrue, 8 * index + 2)
    bytes.writeUInt8(ifFalse, 8 * index + 3)
    bytes.writeUInt32LE(constant, 8 * index + 4)
  }
  return bytes
}

/** Calls `handler` for each transaction that did not come from `own`. */
export function listenForOthers(netns: Netns, own: NetlinkSocket, handler: (event: NftablesEvent) => void): Listening {
  const socket = NetlinkSocket.open(NETLINK_NETFILTER, { netns, groups: [NFNLGRP_NFTABLES], receiveBufferBytes: RECEIVE_BYTES })
  try {
    attachFilter(socket.descriptor, withoutPort(socketName(own.descriptor).readUInt32LE(4)))
  } catch (error) {
    socket.close()
    throw error
  }
  const reader = new TransactionReader(handler)
  const listening = socket.listen((message) => reader.read(message), () => reader.lose())
  return {
    close() {
      listening.close()
      socket.close()
    },
  }
}

const familyNames: ReadonlyMap<number, TableFamily> = new Map(Object.entries(familyNumbers).map(([name, number]) => [number, name as TableFamily]))

/** Gathers what is announced until the generation closes the transaction. */
class TransactionReader {
  readonly #handler: (event: NftablesEvent) => void
  readonly #tables = new Map<string, TableId>()

  constructor(handler: (event: NftablesEvent) => void) {
    this.#handler = handler
  }

  read({ type, payload }: Message): void {
    if (type !== NFT_MSG_NEWGEN) {
      const { header, attributes } = notificationMessage.decode(payload)
      const family = familyNames.get(header.family)
      if (family !== undefined && attributes.table !== undefined) this.#note({ family, name: attributes.table })
      return
    }
    const { id = 0, processName } = generationMessage.decode(payload).attributes
    const tables = [...this.#tables.values()]
    this.#tables.clear()
    this.#handler({ kind: 'transaction', generation: id, processName, tables })
  }

  lose(): void {
    this.#tables.clear()
    this.#handler({ kind: 'overrun' })
  }

  #note(table: TableId): void {
    this.#tables.set(describeTable(table), table)
  }
}
