import t from 'tap'
import { Client } from '../../api/client.ts'
import { FakeClock } from '../../api/clock.ts'
import { silentLogger } from '../../api/log.ts'
import type { Pod } from '../../api/types.ts'
import { FakeApi } from '../test-support/fake-api.ts'
import { ObjectSource, referencesOf } from './objects.ts'
import { TokenSource } from './tokens.ts'

const pod: Pod = {
  metadata: { name: 'web', namespace: 'default', uid: 'u' },
  spec: {
    imagePullSecrets: [{ name: 'login' }],
    containers: [{ name: 'main', envFrom: [{ configMapRef: { name: 'all' } }], env: [{ name: 'A', valueFrom: { secretKeyRef: { name: 'key', key: 'a' } } }] }],
    initContainers: [{ name: 'first', env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'one', key: 'a' } } }] }],
    volumes: [{ name: 'v', configMap: { name: 'files' } }, { name: 's', secret: { secretName: 'hidden' } }, { name: 'p', projected: { sources: [{ configMap: { name: 'root-ca' } }, { secret: { name: 'projected' } }] } }],
  },
}

t.test('everything that a pod names is found', (t) => {
  const { configMaps, secrets } = referencesOf(pod)
  t.same([...configMaps].sort(), ['all', 'files', 'one', 'root-ca'])
  t.same([...secrets].sort(), ['hidden', 'key', 'login', 'projected'])
  t.end()
})

t.test('an object is followed while a pod refers to it, and its changes wake the pod', async (t) => {
  const api = new FakeApi()
  api.put('configmaps', { metadata: { name: 'files', namespace: 'default' }, data: { a: '1' } })
  const woken: string[] = []
  const clock = new FakeClock()
  const objects = new ObjectSource({ client: new Client(api.transport), clock, random: () => 0, log: silentLogger, changed: (uid) => woken.push(uid) })
  await objects.follow(pod)
  t.equal(objects.configMap('default', 'files')?.data?.['a'], '1')
  t.equal(objects.secret('default', 'hidden'), undefined)
  await clock.advance(0)
  const before = objects.version('u')
  woken.length = 0
  api.put('secrets', { metadata: { name: 'hidden', namespace: 'default' }, data: {} })
  await clock.advance(0)
  t.same(woken, ['u'])
  t.not(objects.version('u'), before)
  objects.release('u')
  t.equal(objects.configMap('default', 'files'), undefined)
  objects.stop()
})

t.test('a token is asked for once, and again when four fifths of its life are over', async (t) => {
  const api = new FakeApi()
  const clock = new FakeClock(Date.now())
  const tokens = new TokenSource(new Client(api.transport), clock)
  const asked = (): number => api.requests.filter((request) => request.endsWith('/token')).length
  t.equal(await tokens.token(pod, { expirationSeconds: 3600 }), 'token-of-default')
  await tokens.token(pod, { expirationSeconds: 3600 })
  t.equal(asked(), 1)
  await tokens.token(pod, { expirationSeconds: 3600, audience: 'vault' })
  t.equal(asked(), 2)
  await clock.advance(0.81 * 3_600_000)
  t.ok(tokens.renewAtMs('u') <= clock.now())
  await tokens.token(pod, { expirationSeconds: 3600 })
  t.equal(asked(), 3)
  tokens.release('u')
  t.equal(tokens.renewAtMs('u'), Infinity)
})
