// The cluster's certificate authority: ECDSA P-256 certificates for servers, users and nodes. The library that writes
// them takes 0.2 s to load, so it is loaded when the first one has to be made: a restart needs none.
import type * as Library from '@peculiar/x509'
import { createHash, createPrivateKey, randomBytes, webcrypto, X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'

/** A certificate and its key, both PEM. */
export interface Credential {
  readonly certificate: string
  readonly key: string
}

export interface CertificateSubject {
  readonly commonName: string
  /** Groups, in a client certificate. */
  readonly organizations?: readonly string[]
}

export interface CertificateOptions {
  readonly subject: CertificateSubject
  readonly usages: readonly ('client' | 'server')[]
  /** DNS names and IP addresses that a server answers under. */
  readonly names?: readonly string[]
  readonly validMs: number
}

/** What a certificate signing request asks for, its own signature checked. */
export interface RequestedCertificate {
  readonly subject: CertificateSubject
  readonly names: readonly string[]
  /** Names of other kinds (mail addresses, URIs) are there. */
  readonly hasOtherNames: boolean
  readonly publicKey: webcrypto.CryptoKey
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const dayMs = 86_400_000
export const yearMs = 365 * dayMs
/** Certificates begin a little in the past, for clocks that lag. */
const backdateMs = 5 * 60_000
const usageIds = { server: '1.3.6.1.5.5.7.3.1', client: '1.3.6.1.5.5.7.3.2' }

async function library(): Promise<typeof Library> {
  await import('reflect-metadata')
  return import('@peculiar/x509')
}

export class CertificateAuthority {
  readonly credential: Credential
  readonly #now: () => number
  #key: Promise<webcrypto.CryptoKey> | undefined

  constructor(credential: Credential, now: () => number) {
    this.credential = credential
    this.#now = now
  }

  /** Makes a new authority, valid for ten years. */
  static async create(commonName: string, now: () => number): Promise<CertificateAuthority> {
    const x509 = await library()
    const keys = await generateKeys()
    const name = nameOf({ commonName })
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: serialNumber(),
      subject: name,
      issuer: name,
      notBefore: new Date(now() - backdateMs),
      notAfter: new Date(now() + 10 * yearMs),
      publicKey: keys.publicKey,
      signingKey: keys.privateKey,
      signingAlgorithm: algorithm,
      extensions: [
        new x509.BasicConstraintsExtension(true, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign | x509.KeyUsageFlags.digitalSignature, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    })
    return new CertificateAuthority({ certificate: pem(certificate.toString('pem')), key: await exportKey(keys.privateKey) }, now)
  }

  get certificate(): string {
    return this.credential.certificate
  }

  /** SHA-256 of the certificate's DER, in hex: what a join token carries. */
  get fingerprint(): string {
    return createHash('sha256').update(new X509Certificate(this.certificate).raw).digest('hex')
  }

  /** A new key with a certificate for it. */
  async issue(options: CertificateOptions): Promise<Credential> {
    const keys = await generateKeys()
    return { certificate: await this.sign(keys.publicKey, options), key: await exportKey(keys.privateKey) }
  }

  /** A certificate for somebody's public key. */
  async sign(publicKey: webcrypto.CryptoKey, { subject, usages, names = [], validMs }: CertificateOptions): Promise<string> {
    const x509 = await library()
    const own = new x509.X509Certificate(this.certificate)
    const now = this.#now()
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: serialNumber(),
      subject: nameOf(subject),
      issuer: own.subjectName.toJSON(),
      notBefore: new Date(now - backdateMs),
      notAfter: new Date(Math.min(now + validMs, own.notAfter.getTime())),
      publicKey,
      signingKey: await this.#signingKey(),
      signingAlgorithm: algorithm,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension(usages.map((usage) => usageIds[usage])),
        await x509.AuthorityKeyIdentifierExtension.create(own.publicKey),
        ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names.map((name) => ({ type: isIP(name) === 0 ? ('dns' as const) : ('ip' as const), value: name })))]),
      ],
    })
    return pem(certificate.toString('pem'))
  }

  #signingKey(): Promise<webcrypto.CryptoKey> {
    const der = createPrivateKey(this.credential.key).export({ type: 'pkcs8', format: 'der' })
    this.#key ??= webcrypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign'])
    return this.#key
  }
}

/** Reads a PKCS#10 request in PEM. Throws when it is none, or when it is not signed by its own key. */
export async function readCertificateRequest(text: string): Promise<RequestedCertificate> {
  const x509 = await library()
  const request = new x509.Pkcs10CertificateRequest(text)
  if (!(await request.verify())) throw new Error('Cannot read the certificate request: its signature does not fit its key')
  const values = (type: string): string[] => request.subjectName.getField(type)
  const alternatives = request.extensions.find((extension) => extension instanceof x509.SubjectAlternativeNameExtension)
  const names = alternatives instanceof x509.SubjectAlternativeNameExtension ? alternatives.names.toJSON() : []
  return {
    subject: { commonName: values('CN')[0] ?? '', organizations: values('O') },
    names: names.filter(({ type }) => type === 'dns' || type === 'ip').map(({ value }) => value),
    hasOtherNames: names.some(({ type }) => type !== 'dns' && type !== 'ip'),
    publicKey: await request.publicKey.export(),
  }
}

/** A key for signing tokens, PEM. */
export async function generateKey(): Promise<string> {
  return exportKey((await generateKeys()).privateKey)
}

async function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key))
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({ type: 'pkcs8', format: 'pem' })
}

/** One relative name per value, as crypto/x509 in Go reads groups. Values are never parsed: no comma in them means anything. */
function nameOf({ commonName, organizations = [] }: CertificateSubject): Record<string, string[]>[] {
  return [...organizations.map((organization) => ({ O: [organization] })), { CN: [commonName] }]
}

function serialNumber(): string {
  const bytes = randomBytes(16)
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40
  return bytes.toString('hex')
}

function pem(text: string): string {
  return text.endsWith('\n') ? text : `${text}\n`
}
