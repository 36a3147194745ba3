import t from 'tap'
import { FakeClock } from '../../api/clock.ts'
import { Client } from '../../api/client.ts'
import { EventRecorder } from '../../api/events.ts'
import { silentLogger } from '../../api/log.ts'
import type { Container, Event, Pod, Secret } from '../../api/types.ts'
import type { ContainerRuntime, ImageStatus, RegistryCredentials } from '../runtime/runtime.ts'
import { FakeApi } from '../test-support/fake-api.ts'
import { isHold } from './hold.ts'
import { credentialsFor, Images, policyOf } from './images.ts'

const pod: Pod = { kind: 'Pod', apiVersion: 'v1', metadata: { name: 'web', namespace: 'default', uid: 'u' }, spec: { containers: [] } }
const local: ImageStatus = { id: 'sha256:1', repoTags: ['web:1'], repoDigests: [], sizeBytes: 1, user: '' }

class Bench {
  readonly clock = new FakeClock()
  readonly api = new FakeApi()
  present: ImageStatus | undefined
  failure: string | undefined
  pulls = 0
  woken = 0
  readonly images: Images

  constructor() {
    const runtime = {
      imageStatus: async () => this.present,
      pullImage: async (_reference: string, _credentials: readonly RegistryCredentials[]) => {
        this.pulls += 1
        if (this.failure !== undefined) throw new Error(this.failure)
        this.present = { ...local, repoDigests: ['web@sha256:1'] }
      },
    } as unknown as ContainerRuntime
    const events = new EventRecorder({ client: new Client(this.api.transport), clock: this.clock, log: silentLogger, component: 'kubelet' })
    this.images = new Images({ runtime, events, clock: this.clock, secret: () => undefined, changed: () => (this.woken += 1) })
  }

  /** The image's id, or the reason to wait; after what that began has ended. */
  async ensure(container: Partial<Container> = {}, attempt = 0): Promise<string> {
    const found = await this.images.ensure(pod, { name: 'main', image: 'web:1', ...container }, attempt)
    await this.clock.advance(0)
    return isHold(found) ? found.reason : found.id
  }

  async events(): Promise<string[]> {
    await this.clock.advance(0)
    return this.api.list<Event>('events').map(({ reason, message }) => `${reason}: ${message}`)
  }
}

t.test('no policy means Always for the latest, IfNotPresent for the rest', (t) => {
  const of = (image: string): string => policyOf({ name: 'main', image })
  for (const image of ['busybox', 'busybox:latest', 'registry:5000/busybox']) t.equal(of(image), 'Always', image)
  for (const image of ['busybox:1', 'registry:5000/busybox:1', 'busybox@sha256:1']) t.equal(of(image), 'IfNotPresent', image)
  t.equal(policyOf({ name: 'main', image: 'busybox', imagePullPolicy: 'Never' }), 'Never')
  t.end()
})

t.test('an image that is here is used', async (t) => {
  const bench = new Bench()
  bench.present = local
  t.equal(await bench.ensure(), 'sha256:1')
  t.same([bench.pulls, await bench.events()], [0, ['Pulled: Container image "web:1" already present on machine']])
})

t.test('Always pulls once for each start, but not what came from no registry', async (t) => {
  const bench = new Bench()
  bench.present = { ...local, repoDigests: ['web@sha256:0'] }
  t.equal(await bench.ensure({ imagePullPolicy: 'Always' }), 'ContainerCreating')
  t.equal(await bench.ensure({ imagePullPolicy: 'Always' }), 'sha256:1')
  t.equal(bench.pulls, 1)
  t.equal(await bench.ensure({ imagePullPolicy: 'Always' }, 1), 'ContainerCreating', 'a restart pulls again')
  const imported = new Bench()
  imported.present = local
  t.equal(await imported.ensure({ imagePullPolicy: 'Always' }), 'sha256:1')
})

t.test('Never says so', async (t) => {
  const bench = new Bench()
  t.equal(await bench.ensure({ imagePullPolicy: 'Never' }), 'ErrImageNeverPull')
  t.equal(bench.pulls, 0)
})

t.test('a pull that fails is tried again, ever later', async (t) => {
  const bench = new Bench()
  bench.failure = 'no such host'
  t.equal(await bench.ensure(), 'ContainerCreating')
  t.equal(bench.woken, 1)
  t.equal(await bench.ensure(), 'ErrImagePull')
  t.equal(await bench.ensure(), 'ImagePullBackOff')
  await bench.clock.advance(10_000)
  t.equal(await bench.ensure(), 'ContainerCreating')
  await bench.ensure()
  t.equal(await bench.ensure(), 'ImagePullBackOff')
  await bench.clock.advance(10_000)
  t.equal(await bench.ensure(), 'ImagePullBackOff', 'twice as long')
  bench.failure = undefined
  await bench.clock.advance(10_000)
  await bench.ensure()
  t.equal(await bench.ensure(), 'sha256:1')
  t.match(await bench.events(), ['Pulling: Pulling image "web:1"', 'Failed: Failed to pull image "web:1": no such host', 'Failed: Error: ErrImagePull', 'BackOff: Back-off pulling image "web:1"'])
})

t.test('credentials are those of the image\'s registry', (t) => {
  const login = { auths: { 'registry.test:5000': { auth: Buffer.from('me:pass:word').toString('base64') }, 'https://index.docker.io/v1/': { username: 'hub', password: 'x' } } }
  const secret: Secret = { metadata: {}, data: { '.dockerconfigjson': Buffer.from(JSON.stringify(login)).toString('base64') } }
  t.match(credentialsFor('registry.test:5000/web:1', [secret]), [{ username: 'me', password: 'pass:word' }])
  t.match(credentialsFor('library/web', [secret]), [{ username: 'hub' }])
  t.same(credentialsFor('elsewhere.test/web', [secret]), [])
  t.end()
})
