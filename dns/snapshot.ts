/**
 * What is known of the cluster, on disk: a server that starts again serves at once, before the API server has answered. A line with format, version
 * and checksum, then JSON. Written beside and renamed, so that there is the old one or the new one; what cannot be read is as if it was not there.
 */
import { createHash } from 'node:crypto'
import { open, readFile, rename, stat } from 'node:fs/promises'
import type { KubeObject } from '../api/types.ts'
import type { Kind } from './zone/kept.ts'

const format = 'fairway-dns-snapshot'
/** Of what the objects mean. Another version is not read. */
const version = 1
/** 50,000 services are about 30 MB. */
const bytesMax = 256 * 1024 * 1024

export interface Snapshot {
  readonly zone: string
  /** Milliseconds since the epoch when all of it was current. */
  readonly currentAt: number
  readonly objects: Partial<Readonly<Record<Kind, readonly KubeObject[]>>>
}

/** Writes a snapshot in place of the one before. */
export async function saveSnapshot(file: string, snapshot: Snapshot): Promise<void> {
  const body = Buffer.from(JSON.stringify(snapshot))
  if (body.length > bytesMax) throw new Error(`Cannot save the snapshot: it has ${body.length} bytes, more than ${bytesMax}`)
  const written = `${file}.new`
  const handle = await open(written, 'w', 0o600)
  try {
    await handle.writeFile(Buffer.concat([Buffer.from(`${format} ${version} ${checksum(body)}\n`), body]))
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(written, file)
}

/** Reads a snapshot. Throws a sentence when there is one that cannot be used; undefined when there is none. */
export async function loadSnapshot(file: string, zone: string, kinds: readonly Kind[]): Promise<Snapshot | undefined> {
  const refuse = (why: string): never => {
    throw new Error(`Cannot use the snapshot ${file}: ${why}`)
  }
  let bytes: Buffer
  try {
    if ((await stat(file)).size > bytesMax) refuse(`it is larger than ${bytesMax} bytes`)
    bytes = await readFile(file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const end = bytes.subarray(0, 200).indexOf('\n')
  const [name, number, sum] = bytes.toString('latin1', 0, Math.max(0, end)).split(' ')
  const body = bytes.subarray(end + 1)
  if (name !== format) refuse('it is none')
  if (number !== String(version)) refuse(`it has version ${number}, not ${version}`)
  if (sum !== checksum(body)) refuse('it is damaged')
  const read = JSON.parse(body.toString()) as Partial<Snapshot>
  const objects = read.objects ?? {}
  if (read.zone !== zone) refuse(`it is of zone ${read.zone}`)
  if (!kinds.every((kind) => Array.isArray(objects[kind]))) refuse(`it lacks some of ${kinds.join(', ')}`)
  if (typeof read.currentAt !== 'number') refuse('it does not say how old it is')
  const isObject = ({ metadata, spec }: Partial<KubeObject> & { readonly spec?: unknown }, kind: Kind): boolean => typeof metadata?.name === 'string' && (kind !== 'services' || typeof spec === 'object')
  for (const kind of kinds) if (objects[kind]?.every((object) => isObject(object, kind)) !== true) refuse(`there are ${kind} in it that are none`)
  return { zone, currentAt: Number(read.currentAt), objects }
}

function checksum(body: Uint8Array): string {
  return createHash('sha256').update(body).digest('hex')
}
