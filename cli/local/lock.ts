/**
 * One command at a time on a cluster. The lock is a listening abstract Unix socket: the kernel takes it back when its holder ends, however
 * that happens, so that there is no lock file to be left behind.
 */
import { connect, createServer } from 'node:net'
import type { Socket } from 'node:net'
import { once } from 'node:events'

export interface Lock extends AsyncDisposable {
  release(): Promise<void>
}

/** Takes the lock of a name. When another holds it: calls `onWait` once, and waits until that one ends. */
export async function takeLock(name: string, onWait: () => void = () => undefined): Promise<Lock> {
  const path = `\0fairway/${name}`
  for (let attempt = 0; ; attempt += 1) {
    const waiting = new Set<Socket>()
    const server = createServer((socket) => {
      waiting.add(socket)
      socket.on('error', () => socket.destroy()).on('close', () => waiting.delete(socket))
    })
    try {
      server.listen(path)
      await once(server, 'listening')
      server.unref()
      const release = async (): Promise<void> => {
        if (!server.listening) return
        server.close()
        for (const socket of waiting) socket.destroy()
        await once(server, 'close')
      }
      return { release, [Symbol.asyncDispose]: release }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
      if (attempt === 0) onWait()
      await untilFree(path)
    }
  }
}

/** Resolves when the holder closes our connection or there is none. */
async function untilFree(path: string): Promise<void> {
  const socket = connect(path)
  socket.on('error', () => socket.destroy()) // nobody listens any more: free
  await new Promise<void>((resolve) => socket.once('close', resolve))
}
