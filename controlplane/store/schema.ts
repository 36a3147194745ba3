// The SQLite file: how it is opened, what is in it, and what can be wrong with it.
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { StoreError } from './store.ts'

/** `PRAGMA user_version` of files this code writes and reads. */
const schemaVersion = 1
/** `PRAGMA application_id`: "Fwy1". Tells our files from anyone else's. */
const applicationId = 0x46777931
/** Files up to this size are checked page by page when they are opened (about 100 ms at most). */
const checkBytesMax = 64 * 1024 * 1024

const tables = `
  CREATE TABLE log (
    revision        INTEGER PRIMARY KEY,
    key             TEXT NOT NULL,
    create_revision INTEGER NOT NULL,
    previous        INTEGER NOT NULL,
    deleted         INTEGER NOT NULL,
    value           BLOB
  ) STRICT;
  CREATE INDEX log_key ON log (key, revision);
  CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  INSERT INTO meta (name, value) VALUES ('compacted', 0);
`

/** SQLite's primary result codes (sqlite3.h); node:sqlite reports the extended code, whose low byte is this. */
const resultCodes: Readonly<Record<number, 'locked' | 'corrupt' | 'full' | 'io'>> = {
  5: 'locked',
  6: 'locked',
  8: 'io',
  10: 'io',
  11: 'corrupt',
  13: 'full',
  14: 'io',
  26: 'corrupt',
}

/** Opens or creates `state.db` in a directory, which this process then holds alone. */
export function openDatabase(directory: string): DatabaseSync {
  const file = join(directory, 'state.db')
  let database: DatabaseSync | undefined
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    // Secrets are in it, and SQLite gives its log the mode of the file.
    closeSync(openSync(file, 'a', 0o600))
    database = new DatabaseSync(file, { timeout: 500 })
    // An exclusive lock needs no shared memory file and goes away with the process, however that ends.
    database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA auto_vacuum = INCREMENTAL')
    readVersion(database, file)
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -16000')
    database.exec('BEGIN IMMEDIATE')
    if (pragma(database, 'user_version') === 0) {
      database.exec(tables)
      database.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${schemaVersion}`)
    }
    database.exec('COMMIT')
    checkPages(database, file)
    return database
  } catch (error) {
    database?.close()
    throw storeError(error, `open the store ${file}`)
  }
}

/** Translates an error of SQLite or of the file system into a sentence that says what to do. */
export function storeError(error: unknown, what: string): StoreError {
  if (error instanceof StoreError) return error
  const { errcode, message } = error as { errcode?: number; message: string }
  const code = errcode === undefined ? 'io' : (resultCodes[errcode & 0xff] ?? 'io')
  const advice: Record<typeof code, string> = {
    locked: 'another process is using it; stop that one first',
    corrupt: `the file is damaged or is not a database (${message}). It was left as it is; restore a copy, or move it away to begin anew`,
    full: `the disk is full (${message}). Nothing that was acknowledged is lost; make room and try again`,
    io: message,
  }
  return new StoreError(code, `Cannot ${what}: ${advice[code]}`, { cause: error })
}

function readVersion(database: DatabaseSync, file: string): void {
  const version = pragma(database, 'user_version')
  const id = pragma(database, 'application_id')
  const used = (database.prepare('SELECT count(*) AS n FROM sqlite_master').get() as { n: number }).n > 0
  if (used && id !== applicationId) {
    throw new StoreError('corrupt', `Cannot open the store ${file}: it is a database of another program. It was left as it is`)
  }
  if (version > schemaVersion) {
    throw new StoreError(
      'newer-schema',
      `Cannot open the store ${file}: it was written by a newer Fairway (format ${version}, this one knows ${schemaVersion}). It was left as it is; use the newer version`,
    )
  }
}

function checkPages(database: DatabaseSync, file: string): void {
  const bytes = pragma(database, 'page_count') * pragma(database, 'page_size')
  if (bytes > checkBytesMax) return
  const result = database.prepare('PRAGMA quick_check(1)').get() as { quick_check: string }
  if (result.quick_check === 'ok') return
  throw new StoreError(
    'corrupt',
    `Cannot open the store ${file}: the file is damaged (${result.quick_check}). It was left as it is; restore a copy, or move it away to begin anew`,
  )
}

/** Reads a pragma whose value is a number. */
export function pragma(database: DatabaseSync, name: string): number {
  const row = database.prepare(`PRAGMA ${name}`).get()
  return Number(row === undefined ? 0 : Object.values(row)[0])
}
