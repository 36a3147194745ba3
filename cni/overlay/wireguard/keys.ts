/** Keys of WireGuard: 32 bytes in base64, as wg(8) writes them. The host's own is made once and stays on its disk. */
import { createPrivateKey, createPublicKey, randomBytes } from 'node:crypto'
import { chmodSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeFolder } from '../../folder.ts'

export interface KeyPair {
  readonly privateKey: string
  readonly publicKey: string
}

const keyFile = 'wireguard.key'

/** Reads the host's key, or makes it. A file that holds none is refused and left as it is: peers know the host by what it held. */
export function ownKeys(dataDir: string): KeyPair {
  const path = join(dataDir, keyFile)
  if (!existsSync(path)) {
    makeFolder(dataDir, 0o700)
    writeFileSync(`${path}.new`, `${clamp(randomBytes(32)).toString('base64')}\n`, { mode: 0o600, flush: true })
    renameSync(`${path}.new`, path)
  }
  chmodSync(path, 0o600)
  const privateKey = readKey(readFileSync(path, 'utf8').trim())
  if (privateKey === undefined) throw new Error(`Cannot read the WireGuard key ${path}: it does not hold 32 bytes in base64`)
  const clamped = clamp(Buffer.from(privateKey, 'base64'))
  return { privateKey: clamped.toString('base64'), publicKey: publicKeyOf(clamped) }
}

/** A key as somebody else wrote it, if it is one. */
export function readKey(text: string | undefined): string | undefined {
  if (text === undefined || !/^[A-Za-z0-9+/]{43}=$/.test(text)) return undefined
  return Buffer.from(text, 'base64').toString('base64')
}

/** RFC 7748, section 5: what the kernel and the programs do with a key that they are given, and so what they answer. */
function clamp(key: Buffer): Buffer {
  const clamped = Buffer.from(key)
  clamped[0] = (clamped[0] ?? 0) & 248
  clamped[31] = ((clamped[31] ?? 0) & 127) | 64
  return clamped
}

/** The DER of an X25519 private key (RFC 8410) but for the key. */
const pkcs8 = Buffer.from('302e020100300506032b656e04220420', 'hex')

function publicKeyOf(privateKey: Buffer): string {
  const key = createPublicKey(createPrivateKey({ key: Buffer.concat([pkcs8, privateKey]), format: 'der', type: 'pkcs8' }))
  return Buffer.from(key.export({ format: 'jwk' }).x ?? '', 'base64url').toString('base64')
}
