import { X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Client } from '../../api/client.ts'
import { systemClock } from '../../api/clock.ts'
import { httpsTransport } from '../../api/https-transport.ts'
import { loadKubeconfig } from '../../api/kubeconfig.ts'
import { silentLogger } from '../../api/log.ts'
import { nodes } from '../../api/resources.ts'
import { openStore, startApiServer } from '../../controlplane/apiserver/index.ts'
import { nodeIdentity } from './identity.ts'
import type { JoinOptions } from './identity.ts'
import { parseJoinToken } from './token.ts'

const folder = mkdtempSync(join(tmpdir(), 'fairway-join-'))
const server = await startApiServer({
  store: await openStore('memory', folder), dataDir: undefined, bind: '127.0.0.1', port: 0, clock: systemClock, random: Math.random, log: silentLogger,
})
t.teardown(async () => {
  await server.stop()
  rmSync(folder, { recursive: true })
})
const token = await server.joinToken()

function joining(name: string, change: Partial<JoinOptions> = {}): JoinOptions {
  return { server: server.url, token: () => Promise.resolve(token), nodeName: name, addresses: ['192.0.2.7'], dataDir: join(folder, name), clock: systemClock, log: silentLogger, ...change }
}

t.test('a host joins with a token, has certificates of its own, and comes back without the token', async (t) => {
  const identity = await nodeIdentity(joining('one'))
  const client = new X509Certificate(identity.config.clientCert ?? '')
  t.match(client.subject.split('\n').sort(), ['CN=system:node:one', 'O=system:nodes'])
  const serving = new X509Certificate(identity.serving.certificate)
  t.ok(serving.checkIP('192.0.2.7'))
  t.ok(serving.checkHost('one'))
  t.ok(serving.verify(new X509Certificate(identity.ca).publicKey))
  for (const file of ['client.pem', 'serving.pem', 'node.kubeconfig']) t.equal(statSync(join(folder, 'one', file)).mode & 0o777, 0o600, file)
  const again = await nodeIdentity(joining('one', { token: () => Promise.reject(new Error('the token is asked for')) }))
  t.equal(again.config.clientCert, identity.config.clientCert)
  t.equal(again.serving.certificate, identity.serving.certificate)
})

t.test('the kubeconfig that is written lets a node read and write its own node object', async (t) => {
  const { kubeconfig } = await nodeIdentity(joining('two'))
  const transport = httpsTransport(loadKubeconfig(kubeconfig))
  t.teardown(() => transport.close())
  const client = new Client(transport)
  await client.create(nodes, { apiVersion: 'v1', kind: 'Node', metadata: { name: 'two' }, spec: {} })
  t.match(await client.get(nodes, { name: 'two' }), { metadata: { name: 'two' } })
})

t.test('another address makes a new serving certificate, and only that', async (t) => {
  const before = await nodeIdentity(joining('three'))
  const after = await nodeIdentity(joining('three', { addresses: ['192.0.2.8'] }))
  t.equal(after.config.clientCert, before.config.clientCert)
  t.ok(new X509Certificate(after.serving.certificate).checkIP('192.0.2.8'))
})

t.test("a token of another cluster, a wrong one and none are told apart", async (t) => {
  const other = `FW1${'0'.repeat(64)}::${token.split('::')[1]}`
  await t.rejects(nodeIdentity(joining('four', { token: () => Promise.resolve(other) })), /its CA is not the one that the token names/)
  const wrong = `${token.split('::')[0]}::aaaaaa.bbbbbbbbbbbbbbbb`
  await t.rejects(nodeIdentity(joining('four', { token: () => Promise.resolve(wrong) })), /Unauthorized/)
  for (const text of ['', 'FW1', 'K10abc::x.y', `${token}x`]) t.throws(() => parseJoinToken(text), /Cannot use the token/, text)
})

t.test('a file that holds no certificate is refused by name', async (t) => {
  await nodeIdentity(joining('five'))
  const file = join(folder, 'five', 'client.pem')
  writeFileSync(file, readFileSync(file, 'utf8').replace('BEGIN CERTIFICATE', 'BEGIN LETTER'))
  await t.rejects(nodeIdentity(joining('five')), /client\.pem: it does not hold a key and a certificate/)
})
