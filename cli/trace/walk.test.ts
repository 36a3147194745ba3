import t from 'tap'
import type { EndpointSlice, Node, Pod, Service } from '../../api/types.ts'
import type { Connected } from './attempt.ts'
import type { ClusterView } from './cluster-view.ts'
import type { HostView, NamespaceView, Way } from './host-view.ts'
import { parseSource, parseTarget } from './places.ts'
import { walk } from './walk.ts'
import type { Step } from './step.ts'

const ready = [{ type: 'Ready', status: 'True' as const }]

function pod(name: string, nodeName: string, podIP: string, more: Partial<Pod> = {}): Pod {
  return { metadata: { name, namespace: 'default', labels: { app: name } }, spec: { nodeName, containers: [{ name: 'main', image: 'busybox:1', ports: [{ containerPort: 8080 }] }] }, status: { phase: 'Running', podIPs: [{ ip: podIP }], conditions: ready }, ...more }
}

function node(name: string, address: string): Node {
  return { metadata: { name }, spec: {}, status: { addresses: [{ type: 'InternalIP', address }] } }
}

const headless: Service = { metadata: { name: 'db', namespace: 'default' }, spec: { clusterIP: 'None', selector: { app: 'db' }, ports: [{ port: 5432 }] } }
const slice: EndpointSlice = { metadata: { name: 'db-1', namespace: 'default', labels: { 'kubernetes.io/service-name': 'db' } }, addressType: 'IPv4', endpoints: [{ addresses: ['10.244.1.2'], conditions: { ready: true } }], ports: [{ name: '', port: 5432, protocol: 'TCP' }] }
const cluster: ClusterView = { pods: [pod('client', 'node-1', '10.244.0.2'), pod('db', 'node-2', '10.244.1.2')], nodes: [node('node-1', '192.0.2.1'), node('node-2', '192.0.2.2')], services: [headless], slices: [slice], policies: [] }

const podLink: Way = { kind: 'pod', link: 'fw1', up: true }
const tunnel: Way = { kind: 'tunnel', link: 'fairway-vxlan', mtu: 1450, peer: '192.0.2.2', missing: [] }
const opened: Connected = { connected: true, ms: 0.4 }

function inside(outcome: Connected, ports: readonly number[]): NamespaceView {
  return {
    sockets: () => ports.map((port) => ({ protocol: 'tcp', address: '0.0.0.0', port })),
    connect: async () => outcome,
    resolve: async () => ({ addresses: ['10.244.1.2'] }),
  }
}

/** Two hosts between which all is well but what a case changes. */
function hosts({ way = tunnel, outcome = opened, ports = [5432, 8080] }: { readonly way?: Way; readonly outcome?: Connected; readonly ports?: readonly number[] } = {}): (name: string) => HostView | undefined {
  const views: Record<string, HostView> = {
    'node-1': { addresses: ['192.0.2.1'], wayTo: (address) => (address === '10.244.0.2' ? podLink : way), serviceTable: () => undefined, policyTable: () => undefined, own: inside(outcome, []), pod: () => inside(outcome, []) },
    'node-2': { addresses: ['192.0.2.2'], wayTo: () => podLink, serviceTable: () => undefined, policyTable: () => undefined, own: inside(outcome, []), pod: () => inside(outcome, ports) },
  }
  return (name) => views[name]
}

async function trace(to: string, host = hosts(), view = cluster): Promise<Step[]> {
  const steps: Step[] = []
  for await (const step of walk(parseSource('pod/client', 'default'), parseTarget(to, 'default'), { cluster: view, host, zone: 'cluster.local', clusterDns: '10.96.0.10' })) steps.push(step)
  return steps
}

const lines = (steps: readonly Step[]): string[] => steps.map(({ mark, subject, text }) => `${mark} ${subject}: ${text}`)

t.test('every step to a pod of another host that listens', async (t) => {
  t.same(lines(await trace('pod/db:5432')), [
    'good from: 10.244.0.2 on node-1, link fw1',
    'good endpoint: 10.244.1.2 tcp 5432, pod default/db on node-2',
    'good way: from node-1 by tunnel fairway-vxlan (mtu 1450) to 192.0.2.2 (node-2)',
    'good arrival: on node-2 by link fw1, a pod of this host',
    'good listener: 0.0.0.0 tcp 5432',
    'good tried: a connection to it opened in 0.4 ms',
    'good reached: 10.244.1.2 tcp 5432 opened in 0.4 ms',
  ])
})

t.test('the step that is wrong is named', async (t) => {
  const refused: Connected = { connected: false, why: 'refused' }
  const cases: readonly (readonly [string, Step[], RegExp])[] = [
    ['nobody listens on that port', await trace('pod/db:80', hosts({ outcome: refused })), /bad listener: nothing listens on 10\.244\.1\.2 tcp 80 there; there is 0\.0\.0\.0 5432, 0\.0\.0\.0 8080/],
    ['nobody listens at all', await trace('pod/db:80', hosts({ outcome: refused, ports: [] })), /bad listener: .* there is no listener at all/],
    ['the tunnel lacks its forwarding entry', await trace('pod/db:80', hosts({ way: { ...tunnel, peer: undefined, missing: ['forwarding entry'] } })), /bad way: .* to nobody, but has no forwarding entry/],
    ['the tunnel leads to another host', await trace('pod/db:80', hosts({ way: { ...tunnel, peer: '192.0.2.1' } })), /bad way: .*which is node-1 and not node-2/],
    ['there is no route', await trace('pod/db:80', hosts({ way: { kind: 'none', why: 'ENETUNREACH' } })), /bad way: from node-1 nowhere: ENETUNREACH/],
    ['the other host is gone', await trace('pod/db:80', (name) => (name === 'node-2' ? undefined : hosts()(name))), /bad host: node-2 does not run/],
    ['the own host is gone', await trace('pod/db:80', () => undefined), /bad from: host node-1 does not run/],
  ]
  for (const [name, steps, expected] of cases) {
    t.match(lines(steps).join('\n'), expected, name)
    t.equal(steps.at(-1)?.mark, 'bad', `${name}: the end says so`)
  }
})

t.test('a headless service leads to its endpoints, and one without any says why', async (t) => {
  const steps = await trace('svc/db')
  t.match(lines(steps).join('\n'), /good name: db\.default\.svc\.cluster\.local is 10\.244\.1\.2[\s\S]*note service: .*headless[\s\S]*good reached: 1 of 1 endpoints answered/)
  const empty = { ...cluster, slices: [] }
  t.match(lines(await trace('svc/db', hosts(), { ...empty, services: [{ ...headless, spec: { ...headless.spec, selector: { app: 'other' } } }] })).join('\n'), /note why: no pod of namespace default has app=other\nbad failed: service default\/db has no endpoints/)
  const waiting = pod('db', 'node-2', '10.244.1.2', { status: { phase: 'Pending', containerStatuses: [{ name: 'main', ready: false, restartCount: 3, image: '', imageID: '', state: { waiting: { reason: 'CrashLoopBackOff' } } }] } })
  t.match(lines(await trace('svc/db', hosts(), { ...empty, pods: [...cluster.pods.slice(0, 1), waiting] })).join('\n'), /note why: pod default\/db has app=db, but it is not Ready: container main is CrashLoopBackOff/)
})

t.test('UDP is looked at and not tried', async (t) => {
  const steps: Step[] = []
  for await (const step of walk({ kind: 'pod', namespace: 'default', name: 'client' }, parseTarget('pod/db:53', 'default'), { cluster, host: hosts({ ports: [] }), protocol: 'udp', zone: 'cluster.local', clusterDns: '10.96.0.10' })) steps.push(step)
  t.match(lines(steps).join('\n'), /bad listener: nothing listens on 10\.244\.1\.2 udp 53[\s\S]*bad untried/, 'and what stands above decides')
})

t.test('places are read as they are written, and wrong ones refused by name', async (t) => {
  t.same(parseSource('pod/shop/web-1', 'default'), { kind: 'pod', namespace: 'shop', name: 'web-1' })
  t.same(parseTarget('svc/web:http', 'shop'), { kind: 'service', namespace: 'shop', name: 'web', port: 'http' })
  t.same(parseTarget('[fd00::1]:80', 'default'), { kind: 'address', address: 'fd00::1', port: '80' })
  t.same(parseTarget('fd00::1', 'default'), { kind: 'address', address: 'fd00::1', port: undefined })
  for (const wrong of ['', 'web', 'svc/', 'svc/web', 'pod/a/b/c', 'pod/web:80', 'deploy/web']) t.throws(() => parseSource(wrong, 'default'), /Cannot trace from/, wrong)
  for (const wrong of ['', 'web', 'svc/', 'node/node-1', '10.0.0:80', 'pod/../x']) t.throws(() => parseTarget(wrong, 'default'), /Cannot trace to/, wrong)
  await t.rejects(trace('pod/nope:80'), /Cannot trace: there is no pod default\/nope/)
  await t.rejects(trace('svc/db:1'), /Cannot trace to port 1 of service default\/db: it has 5432\/TCP/)
  await t.rejects(trace('10.9.9.9'), /wants a port, as in 10\.9\.9\.9:80/)
})
