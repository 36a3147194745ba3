// The credentials of one API server, made on the first start and kept in the data directory: a restart has the same.
import { X509Certificate } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { CertificateAuthority, generateKey, yearMs } from './authority.ts'
import type { CertificateOptions, Credential } from './authority.ts'

export interface Credentials {
  readonly authority: CertificateAuthority
  readonly server: Credential
  /** O=system:masters. */
  readonly admin: Credential
  /** Who we are to kubelets. */
  readonly kubeletClient: Credential
  /** Who we are to aggregated API servers, who believe us on whose behalf we ask; and the CA that they know us by, PEM. */
  readonly frontProxy: Credential & { readonly ca: string }
  /** Signs service account tokens, PEM. */
  readonly serviceAccountKey: string
}

export interface CredentialOptions {
  /** Undefined: everything is made anew and gone with the process. */
  readonly dataDir: string | undefined
  /** DNS names and IP addresses under which clients reach the server. */
  readonly serverNames: readonly string[]
  readonly now: () => number
}

/** A certificate is made anew when it has less time than this. */
const renewBeforeMs = 30 * 86_400_000
const masters = 'system:masters'
/** What servers on one store must have in common: each makes the rest for itself. */
export const sharedCredentialFiles = ['ca.pem', 'front-proxy-ca.pem', 'service-account.pem'] as const
export const frontProxyName = 'front-proxy-client'

/** Loads what is there, and makes what is missing, about to expire or, for the server's certificate, of other names. */
export async function openCredentials({ dataDir, serverNames, now }: CredentialOptions): Promise<Credentials> {
  const files = new CredentialFiles(dataDir)
  const authorityIn = async (file: string, name: string): Promise<CertificateAuthority> => {
    const present = files.read(file)
    if (present !== undefined) return new CertificateAuthority(present, now)
    const made = await CertificateAuthority.create(name, now)
    files.write(file, made.credential)
    return made
  }
  const [authority, frontProxyAuthority] = await Promise.all([authorityIn('ca.pem', 'fairway-ca'), authorityIn('front-proxy-ca.pem', 'fairway-front-proxy-ca')])
  const ensure = async (file: string, options: CertificateOptions, issuer = authority): Promise<Credential> => {
    const kept = files.read(file)
    if (kept !== undefined && isUsable(kept, issuer, options, now())) return kept
    const made = await issuer.issue(options)
    files.write(file, made)
    return made
  }
  const ensureKey = async (): Promise<string> => {
    const kept = files.readText('service-account.pem')
    if (kept !== undefined) return kept
    const made = await generateKey()
    files.writeText('service-account.pem', made)
    return made
  }
  const [server, admin, kubeletClient, frontProxyClient, serviceAccountKey] = await Promise.all([
    ensure('server.pem', { subject: { commonName: 'kube-apiserver' }, usages: ['server'], names: serverNames, validMs: yearMs }),
    ensure('admin.pem', { subject: { commonName: 'kubernetes-admin', organizations: [masters] }, usages: ['client'], validMs: yearMs }),
    ensure('kubelet-client.pem', { subject: { commonName: 'kube-apiserver-kubelet-client', organizations: [masters] }, usages: ['client'], validMs: yearMs }),
    ensure('front-proxy-client.pem', { subject: { commonName: frontProxyName }, usages: ['client'], validMs: yearMs }, frontProxyAuthority),
    ensureKey(),
  ])
  return { authority, server, admin, kubeletClient, frontProxy: { ...frontProxyClient, ca: frontProxyAuthority.certificate }, serviceAccountKey }
}

/** Whether a kept certificate is ours, lasts a while, and has the names wanted. */
function isUsable({ certificate }: Credential, authority: CertificateAuthority, { names = [] }: CertificateOptions, now: number): boolean {
  const kept = new X509Certificate(certificate)
  const issuer = new X509Certificate(authority.certificate)
  if (!kept.verify(issuer.publicKey) || Date.parse(kept.validTo) - now < renewBeforeMs) return false
  return names.every((name) => (isIP(name) === 0 ? kept.checkHost(name) : kept.checkIP(name)) !== undefined)
}

/** PEM files that only root can read, each written whole or not at all. A credential is one file: certificate, then key. */
class CredentialFiles {
  readonly #directory: string | undefined

  constructor(dataDir: string | undefined) {
    this.#directory = dataDir === undefined ? undefined : join(dataDir, 'pki')
    if (this.#directory !== undefined) mkdirSync(this.#directory, { recursive: true, mode: 0o700 })
  }

  read(file: string): Credential | undefined {
    const text = this.readText(file)
    if (text === undefined) return undefined
    const [certificate, key] = ['CERTIFICATE', 'PRIVATE KEY'].map((label) => new RegExp(`-----BEGIN ${label}-----[^-]+-----END ${label}-----\n`).exec(text)?.[0])
    if (certificate === undefined || key === undefined) throw new Error(`Cannot read ${this.#path(file)}: it holds no certificate with its key; restore it, or remove the folder ${this.#directory ?? ''} to begin with new credentials`)
    return { certificate, key }
  }

  write(file: string, { certificate, key }: Credential): void {
    this.writeText(file, certificate + key)
  }

  readText(file: string): string | undefined {
    if (this.#directory === undefined) return undefined
    try {
      return readFileSync(this.#path(file), 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw new Error(`Cannot read ${this.#path(file)}: ${(error as Error).message}`, { cause: error })
    }
  }

  writeText(file: string, text: string): void {
    if (this.#directory === undefined) return
    const path = this.#path(file)
    writeFileSync(`${path}.new`, text, { mode: 0o600, flush: true })
    renameSync(`${path}.new`, path)
  }

  #path(file: string): string {
    return join(this.#directory ?? '', file)
  }
}
