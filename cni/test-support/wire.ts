/** What passes on the links of a namespace: every frame, as packet(7) shows them. */
import { SOCK_NONBLOCK, SOCK_RAW, SOL_SOCKET, SO_RCVBUFFORCE, close, receive, setSocketOption, socket } from '../../netlink/ffi.ts'
import type { Netns } from '../../netlink/netns.ts'

const AF_PACKET = 17
/** ETH_P_ALL, in network byte order. */
const everyProtocol = 0x0300
const bufferBytes = 32 << 20

export class Wire {
  readonly #fd: number

  constructor(netns: Netns) {
    this.#fd = netns.run<number>(() => socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, everyProtocol))
    setSocketOption(this.#fd, SOL_SOCKET, SO_RCVBUFFORCE, bufferBytes)
  }

  /** What has passed since, with Ethernet headers. */
  heard(): Buffer[] {
    const frames: Buffer[] = []
    const buffer = Buffer.alloc(1 << 16)
    for (let length = receive(this.#fd, buffer); length !== undefined; length = receive(this.#fd, buffer)) frames.push(Buffer.from(buffer.subarray(0, length)))
    return frames
  }

  [Symbol.dispose](): void {
    close(this.#fd)
  }
}
