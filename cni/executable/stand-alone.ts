/**
 * The slow path: a plugin as a process of its own. `node stand-alone.ts fairway`, parameters in the environment, configuration on standard input;
 * what the resident part would have answered on standard output.
 */
import { readSync, writeSync } from 'node:fs'
import { enableCompileCache } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'

const pollMs = 5

// Sources that were stripped and compiled before start in half the time; the wrapper script names the same folder.
enableCompileCache(new URL('../../.fairway/compile-cache', import.meta.url).pathname)
const { Plugins } = await import('../plugins.ts')

const { status, output } = await new Plugins().run(process.argv[2] ?? '', { environment: process.env, input: await readInput() })
// to a pipe all of it is written at once, or waited for
for (let data = Buffer.from(output); data.length > 0; ) data = data.subarray(writeSync(1, data))
process.exitCode = status

/** Input that cannot be read, such as a folder, is none, and the plugin says so; of a pipe that does not block what is still to come is waited for. */
async function readInput(): Promise<string> {
  const pieces: Buffer[] = []
  for (;;) {
    const piece = Buffer.alloc(65_536)
    try {
      const bytes = readSync(0, piece)
      if (bytes === 0) return Buffer.concat(pieces).toString()
      pieces.push(piece.subarray(0, bytes))
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException
      if (['EISDIR', 'EBADF'].includes(code)) return ''
      if (code !== 'EAGAIN') throw error
      await sleep(pollMs)
    }
  }
}
