import t from 'tap'
import type { Container, Pod } from '../../api/types.ts'
import { ContainerConfigError, environmentOf, expand, fieldValue, resourceValue } from './environment.ts'
import type { EnvironmentSources } from './environment.ts'

const pod: Pod = { metadata: { name: 'web-0', namespace: 'shop', uid: 'u', labels: { b: '2', a: '1' }, annotations: { 'example.com/x': 'y' } }, spec: { containers: [], serviceAccountName: 'robot' } }
const sources: EnvironmentSources = {
  pod, nodeName: 'node-1', podIPs: ['10.0.0.7', 'fd00::7'], hostIPs: ['192.0.2.1'], allocatable: { cpu: '2', memory: '1Gi' },
  services: [
    { metadata: { name: 'my-db', namespace: 'shop' }, spec: { clusterIP: '10.96.0.9', ports: [{ name: 'sql', port: 5432 }, { port: 53, protocol: 'UDP' }] } },
    { metadata: { name: 'headless', namespace: 'shop' }, spec: { clusterIP: 'None', ports: [{ port: 1 }] } },
    { metadata: { name: 'other', namespace: 'elsewhere' }, spec: { clusterIP: '10.96.0.8', ports: [{ port: 1 }] } },
    { metadata: { name: 'kubernetes', namespace: 'default' }, spec: { clusterIP: '10.96.0.1', ports: [{ name: 'https', port: 443 }] } },
  ],
  configMap: (name) => (name === 'settings' ? { metadata: {}, data: { colour: 'green', size: 'XL' } } : undefined),
  secret: (name) => (name === 'keys' ? { metadata: {}, data: { password: Buffer.from('sesame').toString('base64') } } : undefined),
}

function environment(container: Partial<Container>, more: Partial<EnvironmentSources> = {}): Record<string, string> {
  return Object.fromEntries(environmentOf({ name: 'main', ...container }, { ...sources, ...more }))
}

t.test('services of the namespace and kubernetes are told, as Docker links were', (t) => {
  t.match(environment({}), {
    MY_DB_SERVICE_HOST: '10.96.0.9', MY_DB_SERVICE_PORT: '5432', MY_DB_SERVICE_PORT_SQL: '5432', MY_DB_PORT: 'tcp://10.96.0.9:5432',
    MY_DB_PORT_53_UDP: 'udp://10.96.0.9:53', MY_DB_PORT_53_UDP_ADDR: '10.96.0.9', KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT_HTTPS: '443',
  })
  t.notOk(Object.keys(environment({})).some((name) => name.startsWith('OTHER') || name.startsWith('HEADLESS')))
  const without = environment({}, { pod: { ...pod, spec: { ...pod.spec, enableServiceLinks: false } } })
  t.notOk('MY_DB_SERVICE_HOST' in without)
  t.equal(without['KUBERNETES_SERVICE_HOST'], '10.96.0.1')
  t.end()
})

t.test('values come from fields, resources, config maps and secrets, and later ones may use earlier ones', (t) => {
  const found = environment({
    resources: { limits: { memory: '64Mi' }, requests: { cpu: '250m' } },
    envFrom: [{ prefix: 'C_', configMapRef: { name: 'settings' } }, { secretRef: { name: 'none', optional: true } }],
    env: [
      { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
      { name: 'URL', value: 'http://$(IP):$(PORT)/$$(IP)' },
      { name: 'PASSWORD', valueFrom: { secretKeyRef: { name: 'keys', key: 'password' } } },
      { name: 'MEMORY', valueFrom: { resourceFieldRef: { resource: 'limits.memory', divisor: '1Mi' } } },
      { name: 'CPU', valueFrom: { resourceFieldRef: { resource: 'limits.cpu' } } },
      { name: 'MAYBE', valueFrom: { configMapKeyRef: { name: 'settings', key: 'absent', optional: true } } },
      { name: 'C_size', value: 'S' },
    ],
  })
  t.match(found, { C_colour: 'green', C_size: 'S', IP: '10.0.0.7', URL: 'http://10.0.0.7:$(PORT)/$(IP)', PASSWORD: 'sesame', MEMORY: '64', CPU: '2' })
  t.notOk('MAYBE' in found)
  t.end()
})

t.test('what is not there is said by name', (t) => {
  const of = (env: Container['env']) => (): unknown => environment(env === undefined ? {} : { env })
  t.throws(of([{ name: 'A', valueFrom: { configMapKeyRef: { name: 'absent', key: 'a' } } }]), new ContainerConfigError('configmap "absent" not found'))
  t.throws(of([{ name: 'A', valueFrom: { secretKeyRef: { name: 'keys', key: 'a' } } }]), new ContainerConfigError("couldn't find key a in secret shop/keys"))
  t.throws(() => environment({ envFrom: [{ secretRef: { name: 'absent' } }] }), new ContainerConfigError('secret "absent" not found'))
  t.end()
})

t.test('fields and resources by their paths', (t) => {
  t.equal(fieldValue('metadata.labels', sources), 'a="1"\nb="2"')
  t.equal(fieldValue("metadata.annotations['example.com/x']", sources), 'y')
  t.equal(fieldValue('status.podIPs', sources), '10.0.0.7,fd00::7')
  t.equal(fieldValue('spec.serviceAccountName', sources), 'robot')
  t.throws(() => fieldValue('spec.volumes', sources), ContainerConfigError)
  t.equal(resourceValue({ resource: 'requests.cpu', divisor: '1m' }, { name: 'main', resources: { requests: { cpu: '0.3' } } }, {}), '300')
  t.end()
})

t.test('expansion leaves what is not defined and halves dollars', (t) => {
  const variables = new Map([['A', '1']])
  for (const [text, expected] of [['$(A)', '1'], ['$$(A)', '$(A)'], ['$(B)', '$(B)'], ['$A', '$A'], ['$$$(A)', '$1'], ['$(A', '$(A']] as const) t.equal(expand(text, variables), expected)
  t.end()
})
