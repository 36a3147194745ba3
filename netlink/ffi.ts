/**
 * System calls. The only file that knows the foreign function interface; everything else sees plain functions.
 *
 * A call costs 200-250 ns. Calls that return -1 throw SystemCallError, except where the doc comment says otherwise.
 * Nothing here blocks: waiting is `watchReadable`, which sleeps in libuv's own poll.
 */
import koffi from 'koffi'
import { SystemCallError, errnoNumber } from './errors.ts'

const libc = koffi.load('libc.so.6')

type SendArguments = readonly [fd: number, data: Uint8Array, length: number, flags: number]
interface Send {
  (...args: SendArguments): number
  async(...args: [...SendArguments, callback: (error: Error | null, result: number) => void]): void
}

const c = {
  socket: libc.func('int socket(int, int, int)') as (domain: number, type: number, protocol: number) => number,
  bind: libc.func('int bind(int, const void *, uint32_t)') as (fd: number, address: Uint8Array, length: number) => number,
  connect: libc.func('int connect(int, const void *, uint32_t)') as (fd: number, address: Uint8Array, length: number) => number,
  ioctl: libc.func('int ioctl(int, unsigned long, void *)') as (fd: number, request: number, argument: Uint8Array) => number,
  listen: libc.func('int listen(int, int)') as (fd: number, backlog: number) => number,
  accept4: libc.func('int accept4(int, void *, void *, int)') as (fd: number, address: null, length: null, flags: number) => number,
  sendmsg: libc.func('intptr_t sendmsg(int, const void *, int)') as (fd: number, header: Uint8Array, flags: number) => number,
  recvmsg: libc.func('intptr_t recvmsg(int, void *, int)') as (fd: number, header: Uint8Array, flags: number) => number,
  getsockname: libc.func('int getsockname(int, void *, void *)') as (fd: number, address: Uint8Array, length: Uint8Array) => number,
  send: libc.func('intptr_t send(int, const void *, size_t, int)') as unknown as Send,
  recv: libc.func('intptr_t recv(int, void *, size_t, int)') as (fd: number, data: Uint8Array, length: number, flags: number) => number,
  recvmmsg: libc.func('int recvmmsg(int, void *, uint32_t, int, void *)') as (fd: number, headers: Uint8Array, count: number, flags: number, timeout: null) => number,
  sendmmsg: libc.func('int sendmmsg(int, void *, uint32_t, int)') as (fd: number, headers: Uint8Array, count: number, flags: number) => number,
  setsockopt: libc.func('int setsockopt(int, int, int, const void *, uint32_t)') as (fd: number, level: number, option: number, value: Uint8Array, length: number) => number,
  getsockopt: libc.func('int getsockopt(int, int, int, void *, void *)') as (fd: number, level: number, option: number, value: Uint8Array, length: Uint8Array) => number,
  poll: libc.func('int poll(void *, unsigned long, int)') as (fds: Uint8Array, count: number, timeoutMs: number) => number,
  open: libc.func('int open(const char *, int)') as (path: string, flags: number) => number,
  close: libc.func('int close(int)') as (fd: number) => number,
  setns: libc.func('int setns(int, int)') as (fd: number, type: number) => number,
  unshare: libc.func('int unshare(int)') as (flags: number) => number,
  mount: libc.func('int mount(const char *, const char *, const char *, unsigned long, const void *)') as (source: string | null, target: string, type: string | null, flags: number, data: null) => number,
  umount2: libc.func('int umount2(const char *, int)') as (target: string, flags: number) => number,
  flock: libc.func('int flock(int, int)') as (fd: number, operation: number) => number,
}

// include/linux/socket.h, bits/socket_type.h
export const AF_UNIX = 1
export const AF_INET = 2
export const AF_INET6 = 10
export const AF_BRIDGE = 7
export const AF_NETLINK = 16
export const SOCK_STREAM = 1
export const SOCK_DGRAM = 2
export const SOCK_RAW = 3
export const SOCK_SEQPACKET = 5
export const SOCK_NONBLOCK = 0o4000
export const SOCK_CLOEXEC = 0o2000000
export const MSG_DONTWAIT = 0x40
export const MSG_TRUNC = 0x20
export const SOL_SOCKET = 1
export const SO_REUSEADDR = 2
export const SO_SNDBUF = 7
export const SO_RCVBUF = 8
export const SO_ATTACH_FILTER = 26
export const SO_SNDBUFFORCE = 32
export const SO_RCVBUFFORCE = 33
// include/uapi/linux/sched.h
export const CLONE_NEWNET = 0x40000000
// include/uapi/linux/mount.h
export const MS_BIND = 4096
export const MNT_DETACH = 2

// include/uapi/asm-generic/fcntl.h
const LOCK_EX = 2
const LOCK_NB = 4
const O_RDONLY = 0
const O_CLOEXEC = 0o2000000
const SCM_RIGHTS = 1
const MSG_CMSG_CLOEXEC = 0x4000_0000
const EINTR = errnoNumber('EINTR')
const EAGAIN = errnoNumber('EAGAIN')

function check(result: number, syscall: string, object: string): number {
  if (result < 0) throw new SystemCallError(syscall, object, koffi.errno())
  return result
}

/** socket(2), close-on-exec. */
export function socket(domain: number, type: number, protocol: number): number {
  return check(c.socket(domain, type | SOCK_CLOEXEC, protocol), 'open socket', `of family ${domain}, protocol ${protocol}`)
}

/** bind(2) with a raw sockaddr. */
export function bind(fd: number, address: Uint8Array): void {
  check(c.bind(fd, address, address.length), 'bind', `socket ${fd}`)
}

/** connect(2) with a raw sockaddr: of datagram and raw sockets, which do not wait for it. */
export function connectTo(fd: number, address: Uint8Array, object: string): void {
  check(c.connect(fd, address, address.length), 'connect to', object)
}

/** listen(2). */
export function listen(fd: number, backlog: number): void {
  check(c.listen(fd, backlog), 'listen on', `socket ${fd}`)
}

/** accept4(2): a descriptor that is non-blocking and close-on-exec; undefined when nobody is there. */
export function accept(fd: number): number | undefined {
  const accepted = c.accept4(fd, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC)
  if (accepted >= 0) return accepted
  const errno = koffi.errno()
  if (errno === EAGAIN || errno === EINTR) return undefined
  throw new SystemCallError('accept on', `socket ${fd}`, errno)
}

/** ioctl(2) with a structure that the kernel reads and writes. */
export function control(fd: number, request: number, argument: Uint8Array, { verb, object }: { readonly verb: string; readonly object: string }): void {
  check(c.ioctl(fd, request, argument), verb, object)
}

/** getsockname(2): the raw sockaddr. */
export function socketName(fd: number): Buffer {
  const address = Buffer.alloc(128)
  const length = Buffer.alloc(4)
  length.writeUInt32LE(address.length)
  check(c.getsockname(fd, address, length), 'read name of', `socket ${fd}`)
  return address.subarray(0, length.readUInt32LE())
}

/** send(2) of one datagram; repeats after EINTR. Returns the number of bytes taken. */
export function send(fd: number, data: Uint8Array, flags = 0): number {
  for (;;) {
    const sent = c.send(fd, data, data.length, flags)
    if (sent >= 0) return sent
    const errno = koffi.errno()
    if (errno !== EINTR) throw new SystemCallError('send on', `socket ${fd}`, errno)
  }
}

/** send(2) in a thread of libuv's pool: for the few requests in which the kernel sleeps. `data` must not change meanwhile. */
export function sendInThread(fd: number, data: Uint8Array, flags = 0): Promise<number> {
  return new Promise((resolve, reject) => {
    c.send.async(fd, data, data.length, flags, (error, sent) => {
      if (error !== null) reject(error)
      else if (sent < 0) reject(new SystemCallError('send on', `socket ${fd}`, koffi.errno()))
      else resolve(sent)
    })
  })
}

/**
 * recv(2) into `data`; repeats after EINTR. `undefined` when nothing is there (EAGAIN). With MSG_TRUNC in `flags`
 * the result is the datagram's whole length, which may exceed the buffer's.
 */
export function receive(fd: number, data: Uint8Array, flags = MSG_DONTWAIT): number | undefined {
  for (;;) {
    const received = c.recv(fd, data, data.length, flags)
    if (received >= 0) return received
    const errno = koffi.errno()
    if (errno === EAGAIN) return undefined
    if (errno !== EINTR) throw new SystemCallError('receive on', `socket ${fd}`, errno)
  }
}

/**
 * recvmmsg(2) on an array of mmsghdr that the caller laid out (see `addressOf`). Returns the number of datagrams,
 * 0 when none is there.
 */
export function receiveMany(fd: number, headers: Uint8Array, count: number, flags = MSG_DONTWAIT): number {
  for (;;) {
    const received = c.recvmmsg(fd, headers, count, flags, null)
    if (received >= 0) return received
    const errno = koffi.errno()
    if (errno === EAGAIN) return 0
    if (errno !== EINTR) throw new SystemCallError('receive on', `socket ${fd}`, errno)
  }
}

/** sendmmsg(2). Returns how many of the datagrams were taken, 0 when the buffer is full. */
export function sendMany(fd: number, headers: Uint8Array, count: number, flags = MSG_DONTWAIT): number {
  for (;;) {
    const sent = c.sendmmsg(fd, headers, count, flags)
    if (sent >= 0) return sent
    const errno = koffi.errno()
    if (errno === EAGAIN) return 0
    if (errno !== EINTR) throw new SystemCallError('send on', `socket ${fd}`, errno)
  }
}

/**
 * sendmsg(2) of one message with open descriptors beside it (unix(7), SCM_RIGHTS): the receiver gets descriptors of its own for the same open
 * files. The control message is struct cmsghdr (u64 length, i32 level, i32 type) and the descriptors, i32 each.
 */
export function sendDescriptors(fd: number, data: Uint8Array, descriptors: readonly number[]): void {
  const message = messageBytes(data.length, descriptors.length)
  message.writeBigUInt64LE(BigInt(cmsghdrBytes + descriptors.length * 4), controlOffset)
  message.writeInt32LE(SOL_SOCKET, controlOffset + 8)
  message.writeInt32LE(SCM_RIGHTS, controlOffset + 12)
  for (const [index, descriptor] of descriptors.entries()) message.writeInt32LE(descriptor, controlOffset + cmsghdrBytes + index * 4)
  message.set(data, message.length - data.length)
  check(c.sendmsg(fd, message, 0), 'send descriptors on', `socket ${fd}`)
}

/**
 * recvmsg(2) of what `sendDescriptors` sent: no bytes when the other side is gone, undefined when nothing is there. The descriptors are close-on-exec; of
 * more than `most` the rest is closed by the kernel.
 */
export function receiveDescriptors(fd: number, bytesMax: number, most: number): { readonly data: Buffer; readonly descriptors: readonly number[] } | undefined {
  const message = messageBytes(bytesMax, most)
  const bytes = c.recvmsg(fd, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)
  if (bytes < 0) {
    const errno = koffi.errno()
    if (errno === EAGAIN || errno === EINTR) return undefined
    throw new SystemCallError('receive descriptors on', `socket ${fd}`, errno)
  }
  const isRights = Number(message.readBigUInt64LE(40)) >= cmsghdrBytes && message.readInt32LE(controlOffset + 8) === SOL_SOCKET && message.readInt32LE(controlOffset + 12) === SCM_RIGHTS
  const count = isRights ? Math.floor((Number(message.readBigUInt64LE(controlOffset)) - cmsghdrBytes) / 4) : 0
  const start = message.length - bytesMax
  return { data: message.subarray(start, start + bytes), descriptors: Array.from({ length: count }, (_, index) => message.readInt32LE(controlOffset + cmsghdrBytes + index * 4)) }
}

const cmsghdrBytes = 16
const controlOffset = 56 + 16

/** struct msghdr (bits/socket.h), its one struct iovec, room for the control message, and the data, in one piece of memory. */
function messageBytes(bytes: number, descriptors: number): Buffer {
  const controlBytes = cmsghdrBytes + Math.ceil(descriptors / 2) * 8
  const message = Buffer.alloc(controlOffset + controlBytes + bytes)
  const start = addressOf(message)
  message.writeBigUInt64LE(start + 56n, 16)
  message.writeBigUInt64LE(1n, 24)
  message.writeBigUInt64LE(start + BigInt(controlOffset), 32)
  message.writeBigUInt64LE(BigInt(controlBytes), 40)
  message.writeBigUInt64LE(start + BigInt(controlOffset + controlBytes), 56)
  message.writeBigUInt64LE(BigInt(bytes), 64)
  return message
}

/** The memory address of a buffer, for structures that hold pointers. The caller keeps the buffer alive and unmoved. */
export function addressOf(data: Uint8Array): bigint {
  return koffi.address(data)
}

/** setsockopt(2) with an int. */
export function setSocketOption(fd: number, level: number, option: number, value: number): void {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32LE(value)
  check(c.setsockopt(fd, level, option, bytes, 4), 'set option', `${level}/${option} of socket ${fd}`)
}

/** setsockopt(2) with an int; false where the kernel does not know the option or the caller may not set it. */
export function trySocketOption(fd: number, level: number, option: number, value: number): boolean {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32LE(value)
  return c.setsockopt(fd, level, option, bytes, 4) === 0
}

/**
 * Attaches a classic packet filter (include/uapi/linux/filter.h): `instructions` are struct sock_filter, eight bytes each. What it
 * does not let pass never reaches the socket's buffer.
 */
export function attachFilter(fd: number, instructions: Uint8Array): void {
  const program = Buffer.alloc(16)
  program.writeUInt16LE(instructions.length / 8, 0)
  program.writeBigUInt64LE(addressOf(instructions), 8)
  check(c.setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, program, program.length), 'attach filter to', `socket ${fd}`)
}

/** getsockopt(2) of an int. */
export function socketOption(fd: number, level: number, option: number): number {
  const bytes = Buffer.alloc(4)
  const length = Buffer.alloc(4)
  length.writeUInt32LE(4)
  check(c.getsockopt(fd, level, option, bytes, length), 'read option', `${level}/${option} of socket ${fd}`)
  return bytes.readInt32LE()
}

/** poll(2) for POLLIN on one descriptor. False when `timeoutMs` passed. Blocks the thread: milliseconds only. */
export function waitReadable(fd: number, timeoutMs: number): boolean {
  const pollfd = Buffer.alloc(8)
  pollfd.writeInt32LE(fd, 0)
  pollfd.writeInt16LE(1, 4)
  const ready = c.poll(pollfd, 1, timeoutMs)
  if (ready < 0 && koffi.errno() !== EINTR) throw new SystemCallError('poll', `socket ${fd}`, koffi.errno())
  return ready > 0
}

/** open(2), read-only, close-on-exec. */
export function openFile(path: string): number {
  return check(c.open(path, O_RDONLY | O_CLOEXEC), 'open', path)
}

/** close(2). */
export function close(fd: number): void {
  check(c.close(fd), 'close', `descriptor ${fd}`)
}

/** setns(2) of the calling thread. */
export function setNamespace(fd: number, type: number): void {
  check(c.setns(fd, type), 'enter namespace of', `descriptor ${fd}`)
}

/** unshare(2) of the calling thread. */
export function unshare(flags: number): void {
  check(c.unshare(flags), 'unshare', `flags ${flags.toString(16)}`)
}

/** mount(2) without data. */
export function mount(source: string | null, target: string, type: string | null, flags: number): void {
  check(c.mount(source, target, type, flags, null), 'mount', target)
}

/** umount2(2). */
export function unmount(target: string, flags = 0): void {
  check(c.umount2(target, flags), 'unmount', target)
}

/** flock(2), exclusive: false while another descriptor has the lock. It ends with the descriptor, so also with the process. */
export function tryLock(fd: number): boolean {
  if (c.flock(fd, LOCK_EX | LOCK_NB) === 0) return true
  const errno = koffi.errno()
  if (errno === EAGAIN || errno === EINTR) return false
  throw new SystemCallError('lock', `descriptor ${fd}`, errno)
}

/** A descriptor being watched. */
export interface Watch {
  /** stops; the descriptor stays open and is the caller's to close afterwards */
  close(): void
  /** lets the process exit although the watch is there */
  unref(): void
}

function goOn(): void {
  // nothing is left to do: having been called is what counts
}

/**
 * Calls `onReadable` from the event loop whenever `fd` (non-blocking) can be read, until closed. The callback has to read
 * until nothing is left. Errors on the socket (ENOBUFS) also make it readable. This is libuv's own uv_poll on the
 * process's loop: no thread of the pool waits.
 */
export function watchReadable(fd: number, onReadable: () => void): Watch {
  let open = true
  const handle = koffi.node.poll(fd, { readable: true }, onEvent)
  // libuv stops watching a socket that has an error pending, such as a netlink socket that overran: reading takes the
  // error away, and the watch is set up again
  function onEvent(status: unknown): void {
    onReadable()
    // koffi calls us outside of Node's own callbacks, after which promises go on: without this they would wait for the next of those
    setImmediate(goOn)
    if (open && status !== 0) handle.start({ readable: true }, onEvent)
  }
  return {
    close() {
      if (!open) return
      open = false
      handle.close()
    },
    unref() {
      if (open) handle.unref()
    },
  }
}
