/** The certificate of the listeners with TLS, read again when its files change: who renews it need not restart anything. */
import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import type { SecureContext } from 'node:tls'
import type { Clock, Timer } from '../../api/clock.ts'
import type { Logger } from '../../api/log.ts'

export interface CertificateOptions {
  readonly certFile: string
  readonly keyFile: string
  readonly clock: Clock
  readonly log: Logger
}

export interface KeyPair {
  readonly cert: string
  readonly key: string
}

/** Files are looked at so often: a Secret that is mounted changes by a link, which file watches miss. */
const lookEveryMs = 2000

export class Certificate {
  readonly #options: CertificateOptions
  readonly #followers = new Set<(pair: KeyPair) => void>()
  #pair: KeyPair
  #context: SecureContext
  #refused = ''
  #timer: Timer | undefined

  private constructor(options: CertificateOptions, pair: KeyPair) {
    this.#options = options
    this.#pair = pair
    this.#context = createSecureContext(pair)
    this.#look()
  }

  /** Rejects when the files are none, or do not belong together. */
  static async read(options: CertificateOptions): Promise<Certificate> {
    try {
      return new Certificate(options, await readPair(options))
    } catch (error) {
      throw new Error(`Cannot use the certificate ${options.certFile} with the key ${options.keyFile}: ${(error as Error).message}`, { cause: error })
    }
  }

  get pair(): KeyPair {
    return this.#pair
  }

  /** For the next connection. */
  get context(): SecureContext {
    return this.#context
  }

  onChange(follower: (pair: KeyPair) => void): void {
    this.#followers.add(follower)
  }

  close(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #look(): void {
    this.#timer = this.#options.clock.setTimeout(() => void this.#readAgain(), lookEveryMs)
  }

  /** A pair that cannot be used is told once and the old one stays: it may be half written. */
  async #readAgain(): Promise<void> {
    const { certFile, log } = this.#options
    try {
      const pair = await readPair(this.#options)
      if (pair.cert !== this.#pair.cert || pair.key !== this.#pair.key) {
        this.#context = createSecureContext(pair)
        this.#pair = pair
        this.#refused = ''
        for (const follower of this.#followers) follower(pair)
        log.info('took the new certificate', { file: certFile })
      }
    } catch (error) {
      const why = (error as Error).message
      if (why !== this.#refused) log.warn('the new certificate is of no use; the old one stays', { file: certFile, error })
      this.#refused = why
    }
    if (this.#timer !== undefined) this.#look()
  }
}

async function readPair({ certFile, keyFile }: CertificateOptions): Promise<KeyPair> {
  const [cert, key] = await Promise.all([readFile(certFile, 'utf8'), readFile(keyFile, 'utf8')])
  return { cert, key }
}
