/**
 * The slow path: a plugin as a process of its own. `node stand-alone.ts fairway`, parameters in the environment, configuration on standard input;
 * what the resident part would have answered on standard output.
 */
import { readFileSync, writeSync } from 'node:fs'
import { enableCompileCache } from 'node:module'

// Sources that were stripped and compiled before start in half the time; the wrapper script names the same folder.
enableCompileCache(new URL('../../.fairway/compile-cache', import.meta.url).pathname)
const { Plugins } = await import('../plugins.ts')

const { status, output } = await new Plugins().run(process.argv[2] ?? '', { environment: process.env, input: readInput() })
// to a pipe all of it is written at once, or waited for
for (let data = Buffer.from(output); data.length > 0; ) data = data.subarray(writeSync(1, data))
process.exitCode = status

/** Input that cannot be read, such as a folder, is none, and the plugin says so. */
function readInput(): string {
  try {
    return readFileSync(0, 'utf8')
  } catch (error) {
    if (['EISDIR', 'EBADF'].includes((error as NodeJS.ErrnoException).code ?? '')) return ''
    throw error
  }
}
