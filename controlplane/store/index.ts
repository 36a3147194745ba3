// The store: a revisioned log of keys (etcd's model), in memory, on SQLite or in etcd.
export { openEtcdStore } from './etcd/index.ts'
export type { EtcdTls } from './etcd/rpc.ts'
export { openMemoryStore } from './memory.ts'
export { openSqliteStore } from './sqlite.ts'
export { isStoreError } from './store.ts'
export type { Change, Entry, Store, StoreWatch } from './store.ts'
