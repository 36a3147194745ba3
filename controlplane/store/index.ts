// The store: a revisioned log of keys (etcd's model), in memory, on SQLite or in etcd.
import type { EtcdStoreOptions } from './etcd/index.ts'
import type { Store } from './store.ts'

export type { EtcdTls } from './etcd/rpc.ts'
export { exportStore, importStore } from './dump.ts'
export { openMemoryStore } from './memory.ts'
export { openSqliteStore } from './sqlite.ts'
export { isStoreError } from './store.ts'
export type { Change, Entry, Store, StoreWatch } from './store.ts'

/** As in `etcd/index.ts`, which is loaded only where it is used: gRPC takes 0.1 s. */
export async function openEtcdStore(options: EtcdStoreOptions): Promise<Store> {
  const etcd = await import('./etcd/index.ts')
  return etcd.openEtcdStore(options)
}
