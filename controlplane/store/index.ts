// The store: a revisioned log of keys (etcd's model), in memory or on SQLite.
export { openMemoryStore } from './memory.ts'
export { openSqliteStore } from './sqlite.ts'
export { isStoreError } from './store.ts'
export type { Change, Entry, Store, StoreWatch } from './store.ts'
