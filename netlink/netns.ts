/**
 * Network namespaces. A socket belongs to the namespace in which it was opened, whoever uses it later; so a namespace is
 * entered only for the moment of opening one, or of reading files under /proc/sys/net, and always left again.
 */
import { closeSync, fstatSync, mkdirSync, openSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { CLONE_NEWNET, MNT_DETACH, MS_BIND, close, mount, openFile, setNamespace, unmount, unshare } from './ffi.ts'

/** The calling thread's; `/proc/self` would be the main thread's. */
const own = '/proc/thread-self/ns/net'

/** What messages need of a namespace: a real one, or one of the fake kernel's. */
export interface NetnsHandle {
  readonly descriptor: number
}

/** A handle on a network namespace: keeps it alive until closed. */
export class Netns implements NetnsHandle {
  readonly #fd: number
  #open = true

  private constructor(fd: number) {
    this.#fd = fd
  }

  /** Opens the namespace bound at a path (such as /run/netns/blue, /proc/1/ns/net) or that of a process. */
  static open(target: string | { readonly pid: number }): Netns {
    return new Netns(openFile(typeof target === 'string' ? target : `/proc/${target.pid}/ns/net`))
  }

  /** The namespace in which the caller is. */
  static current(): Netns {
    return new Netns(openFile(own))
  }

  /** Makes a new namespace (with nothing but `lo`, down) and binds it at `path`, which must not exist, as `ip netns add` does. */
  static create(path: string): Netns {
    mkdirSync(dirname(path), { recursive: true })
    closeSync(openSync(path, 'ax', 0o444))
    try {
      Netns.#inNew(() => mount(own, path, null, MS_BIND))
      return Netns.open(path)
    } catch (error) {
      rmSync(path, { force: true })
      throw error
    }
  }

  /** Takes away what `create` bound. The namespace lives on while processes or handles hold it. */
  static delete(path: string): void {
    unmount(path, MNT_DETACH)
    rmSync(path, { force: true })
  }

  static #inNew(fn: () => void): void {
    const before = openFile(own)
    try {
      unshare(CLONE_NEWNET)
      try {
        fn()
      } finally {
        comeBack(before)
      }
    } finally {
      close(before)
    }
  }

  /** Names the namespace: equal for two handles on the same one. */
  get inode(): number {
    return fstatSync(this.descriptor).ino
  }

  /** The descriptor, for netlink attributes such as IFLA_NET_NS_FD. Throws once closed. */
  get descriptor(): number {
    if (!this.#open) throw new Error('Cannot use network namespace: its handle is closed')
    return this.#fd
  }

  /**
   * Calls `fn` in this namespace and comes back. `fn` must be synchronous: whatever it starts and awaits runs elsewhere.
   * Should the way back fail, the process ends, for nothing it did from then on would be where it should be.
   */
  run<T>(fn: () => T extends PromiseLike<unknown> ? never : T): T {
    const before = openFile(own)
    try {
      setNamespace(this.descriptor, CLONE_NEWNET)
      try {
        const result: unknown = fn()
        if (result instanceof Promise) throw new TypeError('Cannot run in network namespace: the function is asynchronous')
        return result as T
      } finally {
        comeBack(before)
      }
    } finally {
      close(before)
    }
  }

  /** Lets go of the namespace. May be called twice. */
  close(): void {
    if (!this.#open) return
    this.#open = false
    close(this.#fd)
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

function comeBack(fd: number): void {
  try {
    setNamespace(fd, CLONE_NEWNET)
  } catch (error) {
    process.stderr.write(`Cannot return to network namespace: ${String(error)}\n`)
    process.abort()
  }
}
