// How a node joins with a token: what it may ask for, and what it gets.
import 'reflect-metadata'
import * as x509 from '@peculiar/x509'
import { createHash, createPrivateKey, webcrypto, X509Certificate } from 'node:crypto'
import t from 'tap'
import type { Test } from 'tap'
import { Client } from '../../api/client.ts'
import { httpsTransport } from '../../api/https-transport.ts'
import { certificateSigningRequests, nodes, secrets } from '../../api/resources.ts'
import type { CertificateSigningRequest } from '../../api/types.ts'
import { eventually } from '../../test/support/cluster.ts'
import { askOver, startTestServer } from './test-support/server.ts'
import type { TestServer } from './test-support/server.ts'

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const clientSigner = 'kubernetes.io/kube-apiserver-client-kubelet'
const servingSigner = 'kubernetes.io/kubelet-serving'

interface Wanted {
  readonly signerName: string
  readonly name?: string
  readonly organization?: string
  readonly names?: readonly x509.JsonGeneralName[]
}

async function request({ signerName, name = 'system:node:n1', organization = 'system:nodes', names = [] }: Wanted): Promise<{ object: CertificateSigningRequest; key: string }> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const extensions = names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension([...names])]
  const csr = await x509.Pkcs10CertificateRequestGenerator.create({ name: [{ O: [organization] }, { CN: [name] }], keys, signingAlgorithm: algorithm, extensions })
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey))
  return {
    object: { apiVersion: 'certificates.k8s.io/v1', kind: 'CertificateSigningRequest', metadata: { generateName: 'node-csr-' }, spec: { request: Buffer.from(csr.toString('pem')).toString('base64'), signerName, usages: ['digital signature', signerName === servingSigner ? 'server auth' : 'client auth'] } },
    key: createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({ type: 'pkcs8', format: 'pem' }),
  }
}

async function settled(client: Client, object: CertificateSigningRequest): Promise<CertificateSigningRequest> {
  const { metadata } = await client.create(certificateSigningRequests, object)
  const { value } = await eventually('the request is settled', async () => {
    const current = await client.get(certificateSigningRequests, { name: metadata.name! })
    return current.status?.certificate !== undefined || current.status?.conditions?.some(({ type }) => type === 'Failed') === true ? current : undefined
  }, 5000, 10)
  return value
}

const certificateOf = ({ status }: CertificateSigningRequest): string => Buffer.from(status?.certificate ?? '', 'base64').toString()

function clientWith(t: Test, { server }: TestServer, credentials: { token?: string; clientCert?: string; clientKey?: string }): Client {
  const transport = httpsTransport({ server: server.url, ca: server.caCertificate, ...credentials })
  t.teardown(() => transport.close())
  return new Client(transport)
}

t.test('a token and the hash of the CA are enough to get a node its two certificates', async (t) => {
  const test = await startTestServer(t)
  const { server } = test
  const [, hash, secret] = /^FW1([0-9a-f]{64})::([a-z0-9]{6}\.[a-z0-9]{16})$/.exec(await server.joinToken())!
  const ca = (await askOver(t, server.adminKubeconfig(), 'GET', '/cacerts', undefined, '')).text
  t.equal(createHash('sha256').update(new X509Certificate(ca).raw).digest('hex'), hash)
  const joining = clientWith(t, test, { token: secret! })
  const first = await request({ signerName: clientSigner })
  const clientCert = certificateOf(await settled(joining, first.object))
  t.match(new X509Certificate(clientCert).subject, 'O=system:nodes\nCN=system:node:n1')
  const node = clientWith(t, test, { clientCert, clientKey: first.key })
  await node.create(nodes, { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1' }, spec: {} })
  const second = await request({ signerName: servingSigner, names: [{ type: 'dns', value: 'n1' }, { type: 'ip', value: '192.0.2.1' }] })
  const serving = new X509Certificate(certificateOf(await settled(node, second.object)))
  t.ok(serving.checkIP('192.0.2.1'))
  t.ok(serving.verify(new X509Certificate(ca).publicKey))
  await t.rejects(joining.list(secrets), { message: /is forbidden/ })
  await t.rejects(joining.create(nodes, { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n2' }, spec: {} }), { message: /is forbidden/ })
})

t.test('what a node may not have is not signed', async (t) => {
  const test = await startTestServer(t)
  const joining = clientWith(t, test, { token: (await test.server.joinToken()).split('::')[1]! })
  await test.client.create(nodes, { apiVersion: 'v1', kind: 'Node', metadata: { name: 'other' }, spec: {}, status: { addresses: [{ type: 'InternalIP', address: '192.0.2.2' }] } })
  const cases: [string, Wanted][] = [
    ['another organization', { signerName: clientSigner, organization: 'system:masters' }],
    ['no node name', { signerName: clientSigner, name: 'admin' }],
    ['names in a client certificate', { signerName: clientSigner, names: [{ type: 'dns', value: 'n1' }] }],
    ['no name in a serving certificate', { signerName: servingSigner }],
    ["somebody else's name", { signerName: servingSigner, names: [{ type: 'dns', value: 'kubernetes.default.svc' }] }],
    ["another node's address", { signerName: servingSigner, names: [{ type: 'ip', value: '192.0.2.2' }] }],
    ['a mail address', { signerName: servingSigner, names: [{ type: 'dns', value: 'n1' }, { type: 'email', value: 'a@b.c' }] }],
  ]
  for (const [what, wanted] of cases) {
    const { status } = await settled(joining, (await request(wanted)).object)
    t.match(status, { certificate: undefined, conditions: [{ type: 'Approved' }, { type: 'Failed', reason: 'SignerValidationFailure' }] }, what)
  }
  const broken = { ...(await request({ signerName: clientSigner })).object.spec, request: Buffer.from('no request').toString('base64') }
  const { status } = await settled(joining, { apiVersion: 'certificates.k8s.io/v1', kind: 'CertificateSigningRequest', metadata: { name: 'broken' }, spec: broken }).catch((error: { status: number }) => ({ status: error.status }))
  t.ok(status === 422 || (status as CertificateSigningRequest['status'])?.conditions?.some(({ type }) => type === 'Failed'), 'a request that is none is refused or fails')
})

t.test('one node does not get the certificate of another, and users wait for a word', async (t) => {
  const test = await startTestServer(t)
  const joining = clientWith(t, test, { token: (await test.server.joinToken()).split('::')[1]! })
  const first = await request({ signerName: clientSigner })
  const node = clientWith(t, test, { clientCert: certificateOf(await settled(joining, first.object)), clientKey: first.key })
  const stolen = await node.create(certificateSigningRequests, (await request({ signerName: clientSigner, name: 'system:node:n2' })).object)
  const user = await test.client.create(certificateSigningRequests, (await request({ signerName: 'kubernetes.io/kube-apiserver-client', name: 'jane', organization: 'devs' })).object)
  await settled(joining, (await request({ signerName: clientSigner, name: 'system:node:n3' })).object)
  t.notOk((await test.client.get(certificateSigningRequests, { name: stolen.metadata.name! })).status?.conditions)
  const approved = { ...user, status: { conditions: [{ type: 'Approved', status: 'True' as const, reason: 'Word', message: 'given' }] } }
  await test.client.updateSubresource(certificateSigningRequests, { name: user.metadata.name!, subresource: 'approval' }, approved)
  const { value } = await eventually('the approved request is signed', async () => {
    const current = await test.client.get(certificateSigningRequests, { name: user.metadata.name! })
    return current.status?.certificate === undefined ? undefined : current
  }, 5000, 10)
  t.match(new X509Certificate(certificateOf(value)).subject, 'O=devs\nCN=jane')
})

t.test('who asks is said by the server, not by the one who asks', async (t) => {
  const { client } = await startTestServer(t)
  const { object } = await request({ signerName: 'example.com/other' })
  const made = await client.create(certificateSigningRequests, { ...object, spec: { ...object.spec, username: 'system:node:n1', groups: ['system:nodes'] } })
  t.match(made.spec, { username: 'admin', groups: ['system:masters', 'system:authenticated'] })
})
