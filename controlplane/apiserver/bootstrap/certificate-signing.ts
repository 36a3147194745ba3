// Certificate signing requests: those of nodes are approved here, and what is approved is signed with the cluster's CA.
// Kubernetes does the same in kube-controller-manager (csrapproving, csrsigning).
import { isIP } from 'node:net'
import type { CertificateSigningRequest, Node } from '../../../api/types.ts'
import type { Logger } from '../../../api/log.ts'
import type { WatchCache } from '../cache/index.ts'
import type { ResourceDescriptor } from '../descriptor.ts'
import { timestamp } from '../object.ts'
import type { ApiObject } from '../object.ts'
import { readCertificateRequest, yearMs } from '../pki/authority.ts'
import type { CertificateAuthority, RequestedCertificate } from '../pki/authority.ts'
import type { Writer } from '../write/writer.ts'
import { serverUser } from './objects.ts'

export interface CertificateSigningOptions {
  readonly cache: WatchCache
  readonly writer: Writer
  readonly descriptor: ResourceDescriptor
  readonly authority: CertificateAuthority
  readonly now: () => number
  readonly log: Logger
}

const clientSigner = 'kubernetes.io/kube-apiserver-client'
const kubeletClientSigner = 'kubernetes.io/kube-apiserver-client-kubelet'
const kubeletServingSigner = 'kubernetes.io/kubelet-serving'

const usagesOf: Readonly<Record<string, readonly ('client' | 'server')[]>> = { [clientSigner]: ['client'], [kubeletClientSigner]: ['client'], [kubeletServingSigner]: ['server'] }

/** Takes up what waits and what comes. Returns what stops it. */
export function startCertificateSigning(options: CertificateSigningOptions): () => void {
  const { cache, descriptor, log } = options
  const busy = new Set<string>()
  const take = (request: CertificateSigningRequest): void => {
    const { name = '' } = request.metadata
    if (busy.has(name) || isSettled(request)) return
    busy.add(name)
    settle(options, request).catch((error: unknown) => log.warn('a certificate signing request was left as it is', { name, error })).finally(() => busy.delete(name))
  }
  const requests = cache.of(descriptor)
  for (const { object } of requests.list()) take(object as unknown as CertificateSigningRequest)
  return requests.listen(({ entry, deleted }) => {
    if (!deleted) take(entry.object as unknown as CertificateSigningRequest)
  })
}

function isSettled({ spec, status }: CertificateSigningRequest): boolean {
  return !Object.hasOwn(usagesOf, spec.signerName) || (status?.certificate ?? '') !== '' || (status?.conditions ?? []).some(({ type }) => type === 'Denied' || type === 'Failed')
}

/** Decides, signs and writes the outcome in one update. */
async function settle({ cache, writer, descriptor, authority, now }: CertificateSigningOptions, { metadata, spec, status }: CertificateSigningRequest): Promise<void> {
  const conditions = [...(status?.conditions ?? [])]
  const at = timestamp(now())
  const add = (type: string, reason: string, message: string): void => void conditions.push({ type, status: 'True', reason, message, lastUpdateTime: at, lastTransitionTime: at })
  let certificate: string | undefined
  try {
    const wanted = await readCertificateRequest(Buffer.from(spec.request, 'base64').toString())
    if (!conditions.some(({ type }) => type === 'Approved')) {
      if (!isNodesOwn(spec, wanted)) return
      add('Approved', 'AutoApproved', 'the node may have this certificate')
    }
    const refusal = refusalOf(spec, wanted) ?? takenAddress(cache, wanted)
    if (refusal === undefined) certificate = await authority.sign(wanted.publicKey, { subject: wanted.subject, usages: usagesOf[spec.signerName] ?? [], names: spec.signerName === clientSigner ? [] : wanted.names, validMs: validMs(spec.expirationSeconds) })
    else add('Failed', 'SignerValidationFailure', refusal)
  } catch (error) {
    add('Failed', 'InvalidRequest', (error as Error).message)
  }
  const make = (current: ApiObject): ApiObject => ({ ...current, status: { ...(current['status'] as object | undefined), conditions, ...(certificate === undefined ? {} : { certificate: Buffer.from(certificate).toString('base64') }) } })
  await writer.update({ descriptor, namespace: '', name: metadata.name ?? '' }, { part: 'other', make }, { user: serverUser })
}

/** Whether a request needs nobody's word: one who joins asks for a node, or a node asks for itself. */
function isNodesOwn({ signerName, username = '', groups = [] }: CertificateSigningRequest['spec'], { subject }: RequestedCertificate): boolean {
  const isSelf = groups.includes('system:nodes') && username === subject.commonName
  if (signerName === kubeletClientSigner) return isSelf || groups.includes('system:bootstrappers')
  return signerName === kubeletServingSigner && (isSelf || groups.includes('system:bootstrappers'))
}

/** What each signer insists on (certificates/v1 documentation). */
function refusalOf({ signerName }: CertificateSigningRequest['spec'], { subject, names, hasOtherNames }: RequestedCertificate): string | undefined {
  const { commonName, organizations = [] } = subject
  if (signerName === clientSigner) return organizations.includes('system:masters') ? 'system:masters is not given out by request' : undefined
  if (organizations.length !== 1 || organizations[0] !== 'system:nodes') return 'the organization must be system:nodes'
  if (!commonName.startsWith('system:node:')) return 'the common name must begin with system:node:'
  if (hasOtherNames) return 'only DNS names and IP addresses are allowed'
  if (signerName === kubeletClientSigner) return names.length === 0 ? undefined : 'a client certificate has no names'
  if (names.length === 0) return 'at least one DNS name or IP address is needed'
  // A node must not pass for another host of the cluster, or for the API server.
  const node = commonName.slice('system:node:'.length)
  const foreign = names.find((name) => isIP(name) === 0 && name !== node && !name.startsWith(`${node}.`))
  return foreign === undefined ? undefined : `the DNS name ${foreign} is not that of the node`
}

/** A node that asks for an address of another. */
function takenAddress(cache: WatchCache, { subject, names }: RequestedCertificate): string | undefined {
  const own = subject.commonName.slice('system:node:'.length)
  for (const { name, object } of cache.named('nodes')?.list() ?? []) {
    const taken = name === own ? undefined : (object as unknown as Node).status?.addresses?.find(({ address }) => names.includes(address))
    if (taken !== undefined) return `${taken.address} is an address of the node ${name}`
  }
  return undefined
}

function validMs(seconds: number | undefined): number {
  return seconds === undefined ? yearMs : Math.min(Math.max(seconds, 600) * 1000, yearMs)
}
