// Writes to a store as fast as it can and prints each acknowledged write, until somebody kills it.
import { openSqliteStore } from '../index.ts'
import { writeSync } from 'node:fs'

const [directory = '', run = '0'] = process.argv.slice(2)
const store = openSqliteStore(directory)

async function writer(lane: number): Promise<void> {
  for (let i = 0; ; i++) {
    const key = `/registry/core/things/lane-${lane}/run-${run}-${i}`
    const created = await store.create(key, Buffer.from(`${i}`))
    const updated = await store.update(key, Buffer.from(`${i} again`), created)
    writeSync(1, `${key} ${updated}\n`)
  }
}

await Promise.all(Array.from({ length: 16 }, (_, lane) => writer(lane)))
