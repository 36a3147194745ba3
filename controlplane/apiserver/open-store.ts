// The store by the name that the command line gives it.
import { join } from 'node:path'
import { openMemoryStore, openSqliteStore } from '../store/index.ts'
import type { Store } from '../store/index.ts'

/** Opens `memory` or `sqlite` (in `dataDir`); refuses every other name. */
export function openStore(name: string, dataDir: string): Store {
  if (name === 'memory') return openMemoryStore()
  if (name === 'sqlite') return openSqliteStore(join(dataDir, 'store'))
  if (name === 'etcd' || name.startsWith('etcd')) throw new Error(`Cannot open the store ${JSON.stringify(name)}: etcd is not supported yet; use sqlite or memory`)
  throw new Error(`Cannot open the store ${JSON.stringify(name)}: known are sqlite and memory`)
}
