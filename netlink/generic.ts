/**
 * Generic netlink: families that have a name, whose number the kernel's controller says (include/uapi/linux/genetlink.h).
 *
 *     +-------+------------+-------------+----------------------+
 *     | cmd 8 | version 8  | reserved 16 | attributes           |
 *     +-------+------------+-------------+----------------------+
 */
import { NetlinkError, errnoNumber, isNotFound, isUnsupported } from './errors.ts'
import { attributes, cstring, message, struct, u16, u8 } from './layout.ts'
import type { Codec } from './layout.ts'
import type { Netns } from './netns.ts'
import { NETLINK_GENERIC, NetlinkSocket } from './socket.ts'
import type { What } from './socket.ts'

const GENL_ID_CTRL = 0x10
const CTRL_CMD_GETFAMILY = 3

const genlmsghdr = struct({ command: u8, version: u8, reserved: u16 })
const controllerMessage = message(genlmsghdr, attributes({ id: [1, u16], name: [2, cstring] }))

/** What a family's messages are: the common header, then attributes of its own. */
export function genericMessage<Out, In>(body: Codec<Out, In>) {
  return message(genlmsghdr, body)
}

/** A socket to one family. */
export class GenericSocket {
  readonly #socket: NetlinkSocket
  readonly #family: number

  private constructor(socket: NetlinkSocket, family: number) {
    this.#socket = socket
    this.#family = family
  }

  /** Undefined where the kernel has no such family. It loads the module that has it, if there is one. */
  static open(name: string, { netns }: { readonly netns?: Netns | undefined } = {}): GenericSocket | undefined {
    const socket = NetlinkSocket.open(NETLINK_GENERIC, { netns })
    try {
      const payload = controllerMessage.encode({ header: { command: CTRL_CMD_GETFAMILY, version: 1 }, attributes: { name } })
      const [answer] = socket.request(GENL_ID_CTRL, 0, payload, { operation: 'look up', object: `netlink family ${name}` })
      const id = answer === undefined ? undefined : controllerMessage.decode(answer.payload).attributes.id
      if (id === undefined) throw new NetlinkError('look up', `netlink family ${name}`, errnoNumber('EPROTO'), '(the answer has no number)')
      return new GenericSocket(socket, id)
    } catch (error) {
      socket.close()
      if (isNotFound(error) || isUnsupported(error)) return undefined
      throw error
    }
  }

  request(payload: Uint8Array, what: What): void {
    this.#socket.request(this.#family, 0, payload, what)
  }

  dump(payload: Uint8Array, what: What): readonly Buffer[] {
    return this.#socket.dump(this.#family, 0, payload, what).map((one) => one.payload)
  }

  close(): void {
    this.#socket.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
