/** A certificate for this node, asked for with a CertificateSigningRequest as Kubernetes' kubelets do. */
import 'reflect-metadata'
import { randomBytes, webcrypto } from 'node:crypto'
import { Pkcs10CertificateRequestGenerator, SubjectAlternativeNameExtension, cryptoProvider } from '@peculiar/x509'
import type { Client } from '../../api/client.ts'
import type { Clock } from '../../api/clock.ts'
import { certificateSigningRequests } from '../../api/resources.ts'

/** Both in PEM. */
export interface KeyPair {
  readonly key: string
  readonly certificate: string
}

export interface CertificateWish {
  readonly nodeName: string
  readonly signer: 'kubernetes.io/kube-apiserver-client-kubelet' | 'kubernetes.io/kubelet-serving'
  /** For a serving certificate: the addresses under which the node is reached. */
  readonly addresses: readonly string[]
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const pollMs = 25
const timeoutMs = 30_000

/** Makes a key, has it certified, and returns both. */
export async function requestCertificate(client: Client, clock: Clock, { nodeName, signer, addresses }: CertificateWish): Promise<KeyPair> {
  cryptoProvider.set(webcrypto)
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const isServing = signer === 'kubernetes.io/kubelet-serving'
  const names = [{ type: 'dns' as const, value: nodeName }, ...addresses.map((value) => ({ type: 'ip' as const, value }))]
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: `CN=system:node:${nodeName}, O=system:nodes`,
    keys, signingAlgorithm: algorithm,
    extensions: isServing ? [new SubjectAlternativeNameExtension(names)] : [],
  })
  const name = `csr-${nodeName}-${randomBytes(4).toString('hex')}`
  await client.create(certificateSigningRequests, {
    apiVersion: 'certificates.k8s.io/v1', kind: 'CertificateSigningRequest', metadata: { name },
    spec: { request: Buffer.from(request.toString('pem')).toString('base64'), signerName: signer, usages: ['digital signature', isServing ? 'server auth' : 'client auth'] },
  })
  const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64').replace(/.{64}/g, '$&\n').trim()
  return { key: `-----BEGIN PRIVATE KEY-----\n${key}\n-----END PRIVATE KEY-----\n`, certificate: await signed(client, clock, name) }
}

async function signed(client: Client, clock: Clock, name: string): Promise<string> {
  for (const startedMs = clock.monotonicMs(); clock.monotonicMs() - startedMs < timeoutMs; await clock.sleep(pollMs)) {
    const { status } = await client.get(certificateSigningRequests, { name })
    if (status?.certificate !== undefined && status.certificate !== '') return Buffer.from(status.certificate, 'base64').toString()
    const refused = status?.conditions?.find(({ type }) => type === 'Denied' || type === 'Failed')
    if (refused !== undefined) throw new Error(`Cannot get a certificate for this node: request ${name} was ${refused.type === 'Denied' ? 'denied' : 'not signed'}: ${refused.message ?? refused.reason ?? ''}`)
  }
  throw new Error(`Cannot get a certificate for this node: request ${name} was not approved within ${timeoutMs / 1000} s; 'kubectl get csr' shows it`)
}
