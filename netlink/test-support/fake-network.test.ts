import t from 'tap'
import { RouteSocket } from '../route/index.ts'
import type { RouteEvent } from '../route/index.ts'
import { FakeNetwork } from './fake-network.ts'
import { routeCases } from './route-cases.ts'

for (const { title, run, expected } of routeCases) {
  t.test(`fake: ${title}`, async (t) => {
    const network = new FakeNetwork()
    const [hostNetns, podNetns] = [network.namespace(), network.namespace()]
    const [host, pod] = [RouteSocket.over(hostNetns), RouteSocket.over(podNetns)]
    host.links.set('lo', { up: true })
    t.strictSame(run({ host, pod, podNetns }), expected)
  })
}

t.test('listeners of the fake hear of changes, and of what they missed', async (t) => {
  const namespace = new FakeNetwork().namespace()
  const route = RouteSocket.over(namespace)
  const events: RouteEvent[] = []
  const listening = route.listen(['link', 'address', 'route'], (event) => events.push(event))
  route.links.set('lo', { up: true })
  route.addresses.add({ link: 1, address: '10.96.0.10', prefixLength: 32 })
  await new Promise((resolve) => setImmediate(resolve))
  namespace.overrun()
  t.strictSame(events.map(({ kind }) => kind), ['link', 'address', 'route', 'overrun'])
  listening.close()
  route.links.set('lo', { up: false })
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(events.length, 4)
})
