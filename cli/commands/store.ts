import { createReadStream, createWriteStream, renameSync, rmSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { pipeline } from 'node:stream/promises'
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
    let count = -2
    const lines = async function* (): AsyncGenerator<string> {
      for await (const line of exportStore(store)) {
        count++
        yield `${line}\n`
      }
    }
    if (file === '-') return pipeline(lines, process.stdout)
    const unfinished = `${file}.${process.pid}`
    try {
      await pipeline(lines, createWriteStream(unfinished, { mode: 0o600, flush: true }))
      renameSync(unfinished, file)
    } catch (error) {
      rmSync(unfinished, { force: true })
      throw new Error(`Cannot export to ${file}: ${(error as Error).message}`, { cause: error })
    }
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
