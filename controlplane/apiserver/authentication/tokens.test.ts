// Tokens: who they speak for, and when they stop.
import t from 'tap'
import { FakeClock } from '../../../api/clock.ts'
import { generateKey } from '../pki/authority.ts'
import { authenticateBootstrapToken, newBootstrapToken, tokenOf } from './bootstrap-tokens.ts'
import { ServiceAccountTokens } from './service-account-tokens.ts'
import type { KubeObject } from '../../../api/types.ts'

const issuer = 'https://kubernetes.default.svc.cluster.local'
const account = { name: 'robot', uid: 'a1' }
const subject = { namespace: 'ns', account }

async function tokens(objects: Record<string, KubeObject | undefined>, key?: string): Promise<{ tokens: ServiceAccountTokens; clock: FakeClock }> {
  const clock = new FakeClock()
  const lookup = (resource: string, namespace: string | undefined, name: string): KubeObject | undefined => objects[`${resource}/${namespace ?? ''}/${name}`]
  return { clock, tokens: new ServiceAccountTokens({ key: key ?? (await generateKey()), issuer, now: () => clock.now(), lookup }) }
}

t.test('a token speaks for its service account until its time is over', async (t) => {
  const { tokens: made, clock } = await tokens({ 'serviceaccounts/ns/robot': { metadata: { uid: 'a1' } } })
  const { token, expires } = made.issue(subject, [], 600)
  t.equal(expires, Math.floor(clock.now() / 1000) * 1000 + 600_000)
  t.match(made.authenticate(token), { name: 'system:serviceaccount:ns:robot', uid: 'a1', groups: ['system:serviceaccounts', 'system:serviceaccounts:ns', 'system:authenticated'] })
  await clock.advance(600_000)
  t.equal(made.authenticate(token), undefined)
})

t.test('a token ends with what it is bound to', async (t) => {
  const objects: Record<string, KubeObject | undefined> = { 'serviceaccounts/ns/robot': { metadata: { uid: 'a1' } }, 'pods/ns/p': { metadata: { uid: 'p1' } } }
  const { tokens: made } = await tokens(objects)
  const { token } = made.issue({ ...subject, pod: { name: 'p', uid: 'p1' }, node: { name: 'n', uid: 'n1' } }, [], 600)
  t.match(made.authenticate(token)?.extra, { 'authentication.kubernetes.io/pod-name': ['p'], 'authentication.kubernetes.io/node-name': ['n'] })
  objects['pods/ns/p'] = { metadata: { uid: 'p2' } }
  t.equal(made.authenticate(token), undefined, 'a pod of the same name is another pod')
  objects['pods/ns/p'] = { metadata: { uid: 'p1' } }
  objects['serviceaccounts/ns/robot'] = undefined
  t.equal(made.authenticate(token), undefined, 'the account is gone')
})

t.test('a token for somebody else, of somebody else or changed on the way is none', async (t) => {
  const objects = { 'serviceaccounts/ns/robot': { metadata: { uid: 'a1' } } }
  const { tokens: made } = await tokens(objects)
  const vault = made.issue(subject, ['vault'], 600).token
  t.equal(made.authenticate(vault), undefined)
  t.ok(made.authenticate(vault, ['vault']))
  const { tokens: others } = await tokens(objects)
  t.equal(made.authenticate(others.issue(subject, [], 600).token), undefined)
  const [head, body, signature] = made.issue(subject, [], 600).token.split('.') as [string, string, string]
  const claims = { ...(JSON.parse(Buffer.from(body, 'base64url').toString()) as object), sub: 'system:serviceaccount:ns:root' }
  t.equal(made.authenticate(`${head}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.${signature}`), undefined)
  const none = Buffer.from(JSON.stringify({ alg: 'none' })).toString('base64url')
  for (const broken of [`${none}.${body}.`, `${none}.${body}.${signature}`, `${head}.${body}`, '', '..', 'a.b.c']) t.equal(made.authenticate(broken), undefined, broken)
})

t.test('a bootstrap token is good while its secret says so', (t) => {
  const now = Date.UTC(2026, 0, 1)
  const { token, secret } = newBootstrapToken((count) => 'x'.repeat(count), now, 60_000)
  const lookup = (resource: string, namespace: string | undefined, name: string): KubeObject | undefined => (resource === 'secrets' && namespace === 'kube-system' && name === 'bootstrap-token-xxxxxx' ? secret : undefined)
  t.match(authenticateBootstrapToken(token, lookup, now), { name: 'system:bootstrap:xxxxxx', groups: ['system:bootstrappers', 'system:authenticated'] })
  t.equal(authenticateBootstrapToken('xxxxxx.yyyyyyyyyyyyyyyy', lookup, now), undefined, 'another secret')
  t.equal(authenticateBootstrapToken('yyyyyy.xxxxxxxxxxxxxxxx', lookup, now), undefined, 'another id')
  t.equal(authenticateBootstrapToken(token, lookup, now + 60_000), undefined, 'expired')
  t.equal(tokenOf(secret, now, 30_000), token)
  t.equal(tokenOf(secret, now, 61_000), undefined, 'not good for that long')
  t.equal(tokenOf({ ...secret, type: 'Opaque' }, now, 0), undefined, 'not that kind of secret')
  t.end()
})
