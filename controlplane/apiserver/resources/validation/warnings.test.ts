import t from 'tap'
import { created, rowNamed } from '../test-support/table.ts'

const warnings = (name: string, object: Record<string, unknown>): string[] => rowNamed(name).strategy?.warnings?.(created(name, object)) ?? []

t.test('what is probably not meant is told with its path', (t) => {
  const containers = [
    {
      name: 'a', image: 'x', env: [{ name: 'A', value: '1' }, { name: 'A', value: '2' }, { name: 'A', value: '$(A)3' }],
      ports: [{ containerPort: 80 }, { containerPort: 80, protocol: 'UDP' }, { containerPort: 80 }], resources: { limits: { memory: '500m' }, requests: { memory: '1Mi' } },
    },
  ]
  const at = (path: string): string[] => [
    `${path}.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply`,
    `${path}.containers[0].ports[2]: duplicate port definition with ${path}.containers[0].ports[0]`,
    `${path}.containers[0].resources.limits[memory]: fractional byte value "500m" is invalid, must be an integer`,
  ]
  t.same(warnings('pods', { metadata: { name: 'p' }, spec: { containers } }), at('spec'))
  t.same(warnings('deployments.apps', { spec: { template: { spec: { containers } } } }), at('spec.template.spec'))
  t.match(warnings('pods', { metadata: { name: 'a.b' }, spec: { containers: [] } }), [/^metadata.name: this is used in the Pod's hostname/])
  t.same(warnings('services', { spec: { clusterIP: 'None', sessionAffinity: 'ClientIP' } }), ['spec.SessionAffinity is ignored for headless services'])
  t.same(warnings('jobs.batch', { metadata: { name: 'j' }, spec: { template: { spec: { containers: [] } } } }), [])
  t.end()
})
