// The plan for the APIServices of what is served here.
import t from 'tap'
import { Registry } from '../registry.ts'
import { builtinResources } from '../resources/index.ts'
import type { ApiObject } from '../object.ts'
import { planServices, wantedServices } from './local.ts'

const object = (name: string, more: object = {}, labels = {}): ApiObject => ({ metadata: { name, labels }, ...more })

t.test('every group and version has one, the newer version of a group before the older', (t) => {
  const wanted = wantedServices(new Registry(builtinResources()))
  const names = wanted.map(({ metadata }) => metadata.name)
  for (const name of ['v1.', 'v1.apps', 'v2.autoscaling', 'v1.autoscaling', 'v1.events.k8s.io', 'v1.resource.k8s.io', 'v1.flowcontrol.apiserver.k8s.io']) t.ok(names.includes(name), name)
  const priority = (name: string): unknown => (wanted.find(({ metadata }) => metadata.name === name)?.['spec'] as { versionPriority: number } | undefined)?.versionPriority
  t.ok(Number(priority('v2.autoscaling')) > Number(priority('v1.autoscaling')))
  t.end()
})

t.test('what is missing is made, what is served no more goes, and what somebody else wrote stays', (t) => {
  const managed = { 'kube-aggregator.kubernetes.io/automanaged': 'true' }
  const have = [object('v1.b.com', {}, managed), object('v1.gone.com', {}, managed), object('v1.theirs.com'), object('v1.led.com', { spec: { service: { name: 'x' } } }, managed)]
  t.same(planServices([object('v1.a.com'), object('v1.b.com')], have), [{ kind: 'create', object: object('v1.a.com') }, { kind: 'delete', name: 'v1.gone.com' }])
  t.end()
})
