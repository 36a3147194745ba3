/**
 * Who a node is to its cluster. On the first start it joins with a token; from then on its data directory holds the CA, a client certificate and a serving
 * certificate, and the token is not looked at again.
 */
import { X509Certificate } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { Client } from '../../api/client.ts'
import type { Clock } from '../../api/clock.ts'
import { httpsTransport } from '../../api/https-transport.ts'
import { renderKubeconfig } from '../../api/kubeconfig.ts'
import type { ClusterConfig } from '../../api/kubeconfig.ts'
import type { Logger } from '../../api/log.ts'
import type { CertificateWish, KeyPair } from './certificate.ts'
import { fetchCa, parseJoinToken } from './token.ts'

export interface JoinOptions {
  readonly server: string
  /** Resolves to the token, as soon as there is one. Not called when the node has certificates. */
  readonly token: () => Promise<string>
  readonly nodeName: string
  readonly addresses: readonly string[]
  readonly dataDir: string
  readonly clock: Clock
  readonly log: Logger
}

export interface NodeIdentity {
  /** How this node speaks to its API server. */
  readonly config: ClusterConfig
  readonly ca: string
  /** For the kubelet's own server. */
  readonly serving: KeyPair
  /** The same as a file, for programs beside this one. */
  readonly kubeconfig: string
}

const retryMs = 500

/** Reads the identity that the node has, renews what is about to expire, or joins. */
export async function nodeIdentity(options: JoinOptions): Promise<NodeIdentity> {
  const { dataDir, server, clock, log } = options
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const file = (name: string): string => `${dataDir}/${name}`
  const present = readPair(file('client'), clock)
  let ca = existsSync(file('ca.crt')) ? readFileSync(file('ca.crt'), 'utf8') : undefined
  let client = present?.pair
  if (ca === undefined || client === undefined || present?.state === 'expired') {
    const token = parseJoinToken(await options.token())
    ca = await patiently(options, () => fetchCa(server, token))
    client = await certified(options, { server, ca, token: token.bearer }, 'kubernetes.io/kube-apiserver-client-kubelet')
    writePrivate(file('ca.crt'), ca)
    writePair(file('client'), client)
    log.info('joined', { server, node: options.nodeName })
  } else if (present?.state === 'old') {
    client = await certified(options, { server, ca, clientCert: client.certificate, clientKey: client.key }, 'kubernetes.io/kube-apiserver-client-kubelet')
    writePair(file('client'), client)
  }
  const config = { server, ca, clientCert: client.certificate, clientKey: client.key }
  let serving = readPair(file('serving'), clock)
  if (serving === undefined || serving.state !== 'good' || !hasAddresses(serving.pair, options.addresses)) {
    serving = { pair: await certified(options, config, 'kubernetes.io/kubelet-serving'), state: 'good' }
    writePair(file('serving'), serving.pair)
  }
  const kubeconfig = file('node.kubeconfig')
  writePrivate(kubeconfig, renderKubeconfig({ clusterName: 'fairway', user: `system:node:${options.nodeName}`, config }))
  return { config, ca, serving: serving.pair, kubeconfig }
}

async function certified({ nodeName, addresses, clock, server, log }: JoinOptions, config: ClusterConfig, signer: CertificateWish['signer']): Promise<KeyPair> {
  const transport = httpsTransport(config)
  try {
    const { requestCertificate } = await import('./certificate.ts')
    return await patiently({ server, clock, log }, () => requestCertificate(new Client(transport), clock, { nodeName, signer, addresses }))
  } finally {
    transport.close()
  }
}

/** Tries again while the server cannot be reached: hosts start in any order. What it refuses, it refuses. */
async function patiently<T>({ server, clock, log }: Pick<JoinOptions, 'server' | 'clock' | 'log'>, attempt: () => Promise<T>): Promise<T> {
  for (let first = true; ; first = false) {
    try {
      return await attempt()
    } catch (error) {
      if (!isUnreachable(error)) throw error
      if (first) log.warn('waiting for the API server', { server, error })
      await clock.sleep(retryMs)
    }
  }
}

const unreachable = new Set(['ECONNREFUSED', 'ECONNRESET', 'EHOSTUNREACH', 'ENETUNREACH', 'ETIMEDOUT', 'EPIPE', 'EAI_AGAIN'])

function isUnreachable(error: unknown): boolean {
  const { code, cause } = error as NodeJS.ErrnoException
  return (code !== undefined && unreachable.has(code)) || (cause !== undefined && isUnreachable(cause))
}

/** `old`: two thirds of its time are over. */
type State = 'good' | 'old' | 'expired'

function readPair(file: string, clock: Clock): { readonly pair: KeyPair; readonly state: State } | undefined {
  if (!existsSync(`${file}.pem`)) return undefined
  const text = readFileSync(`${file}.pem`, 'utf8')
  const at = text.indexOf('-----BEGIN CERTIFICATE-----')
  if (at <= 0) throw new Error(`Cannot use ${file}.pem: it does not hold a key and a certificate; remove it to join anew`)
  const pair = { key: text.slice(0, at), certificate: text.slice(at) }
  const { validFrom, validTo } = new X509Certificate(pair.certificate)
  const [from, to] = [Date.parse(validFrom), Date.parse(validTo)]
  const now = clock.now()
  return { pair, state: now >= to ? 'expired' : now > from + ((to - from) * 2) / 3 ? 'old' : 'good' }
}

/** Key and certificate in one file, so that they are never of two minds. */
function writePair(file: string, { key, certificate }: KeyPair): void {
  writePrivate(`${file}.pem`, `${key.trimEnd()}\n${certificate}`)
}

function writePrivate(file: string, text: string): void {
  writeFileSync(`${file}.new`, text, { mode: 0o600 })
  renameSync(`${file}.new`, file)
}

function hasAddresses({ certificate }: KeyPair, addresses: readonly string[]): boolean {
  const parsed = new X509Certificate(certificate)
  return addresses.every((address) => parsed.checkIP(address) !== undefined)
}
