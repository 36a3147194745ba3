// The store by the name that the command line gives it.
import { join } from 'node:path'
import { openEtcdStore, openMemoryStore, openSqliteStore } from '../store/index.ts'
import type { EtcdTls, Store } from '../store/index.ts'

/** Opens `memory`, `sqlite` (in `dataDir`) or `etcd=URL[,URL…]`; refuses every other name. */
export async function openStore(name: string, dataDir: string, tls: EtcdTls = {}): Promise<Store> {
  if (name === 'memory') return openMemoryStore()
  if (name === 'sqlite') return openSqliteStore(join(dataDir, 'store'))
  if (name.startsWith('etcd=')) return openEtcdStore({ endpoints: name.slice('etcd='.length).split(',').map(endpointOf), ...tls })
  const advice = name.startsWith('etcd') ? 'say where etcd is, as in etcd=http://127.0.0.1:2379' : 'known are sqlite, memory and etcd=URL[,URL]'
  throw new Error(`Cannot open the store ${JSON.stringify(name)}: ${advice}`)
}

function endpointOf(url: string): string {
  if (!URL.canParse(url)) throw new Error(`Cannot use the etcd endpoint ${JSON.stringify(url)}: it must be a URL such as http://127.0.0.1:2379`)
  return url
}
