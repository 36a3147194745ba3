import { setFlagsFromString } from 'node:v8'

/**
 * Keeps the process near the size of what it holds, for one that is on every host: V8 otherwise lets the heap double, and its young part grow to 32 MB a half,
 * before it clears away. The flags are set once the modules are loaded: what is compiled is kept apart by the flags it was compiled under.
 */
export function keepHeapSmall(): void {
  for (const flag of ['--semi-space-growth-factor=1', '--optimize-for-size', '--heap-growing-percent=30']) setFlagsFromString(flag)
}
