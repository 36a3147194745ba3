import { once } from 'node:events'
import { createReadStream, createWriteStream, renameSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { openStore } from '../../controlplane/apiserver/open-store.ts'
import { exportStore, importStore } from '../../controlplane/store/index.ts'
import type { Store } from '../../controlplane/store/index.ts'

export interface StoreFlags {
  readonly dataDir: string
  readonly store: string
  readonly etcdCafile?: string
  readonly etcdCertfile?: string
  readonly etcdKeyfile?: string
}

/** `fairway store export FILE`: whole or not at all; `-` writes to the standard output. */
export function runStoreExport(file: string, flags: StoreFlags): Promise<void> {
  return withStore(flags, async (store) => {
    const unfinished = `${file}.${process.pid}`
    const output = file === '-' ? process.stdout : createWriteStream(unfinished, { mode: 0o600, flush: true })
    let count = -2
    for await (const line of exportStore(store)) {
      count++
      if (!output.write(`${line}\n`)) await once(output, 'drain')
    }
    if (file === '-') return
    output.end()
    await once(output, 'finish')
    renameSync(unfinished, file)
    process.stderr.write(`exported ${count} objects to ${file}\n`)
  })
}

/** `fairway store import FILE` */
export function runStoreImport(file: string, flags: StoreFlags): Promise<void> {
  return withStore(flags, async (store) => {
    const input = file === '-' ? process.stdin : createReadStream(file)
    const count = await importStore(store, createInterface({ input, crlfDelay: Infinity }))
    process.stderr.write(`imported ${count} objects from ${file}\n`)
  })
}

/** `fairway store defragment` */
export function runStoreDefragment(flags: StoreFlags): Promise<void> {
  return withStore(flags, (store) => store.defragment())
}

async function withStore(flags: StoreFlags, work: (store: Store) => Promise<void>): Promise<void> {
  const { etcdCafile: caFile, etcdCertfile: certFile, etcdKeyfile: keyFile } = flags
  const store = await openStore(flags.store, flags.dataDir, { ...(caFile && { caFile }), ...(certFile && { certFile }), ...(keyFile && { keyFile }) })
  try {
    await work(store)
  } finally {
    await store.close()
  }
}
