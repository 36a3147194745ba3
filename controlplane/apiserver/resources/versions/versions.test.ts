// Kinds that are served under two names: one object, in both forms.
import t from 'tap'
import { decodeBody } from '../../codec.ts'
import { ask, startTestServer } from '../../test-support/server.ts'

type Json = Record<string, unknown>

const merge = { 'content-type': 'application/merge-patch+json' }

t.test('an event of either form is seen in the other, in lists, tables and watches', async (t) => {
  const { server } = await startTestServer(t)
  const [core, other] = ['/api/v1/namespaces/default/events', '/apis/events.k8s.io/v1/namespaces/default/events']
  const { body } = await server.transport({ name: 'a', groups: ['system:masters'] })({ method: 'GET', path: `${other}?watch=1` })
  const made = await ask(server, 'POST', core, { metadata: { name: 'old' }, involvedObject: { kind: 'Pod', namespace: 'default', name: 'web' }, reason: 'Made', message: 'it is', type: 'Normal', count: 2, firstTimestamp: '2026-01-01T00:00:00Z', source: { component: 'me' } })
  t.equal(made.status, 201)
  for await (const piece of body) {
    t.match(JSON.parse(Buffer.from(piece).toString()), { type: 'ADDED', object: { apiVersion: 'events.k8s.io/v1', kind: 'Event', note: 'it is', regarding: { name: 'web' }, deprecatedCount: 2, deprecatedSource: { component: 'me' }, deprecatedFirstTimestamp: '2026-01-01T00:00:00Z' } })
    break
  }
  const { body: read } = await ask(server, 'GET', `${other}/old`)
  t.notOk('message' in read || 'involvedObject' in read || 'count' in read)
  t.equal((read['metadata'] as Json)['uid'], (made.body['metadata'] as Json)['uid'])
  const event = { metadata: { name: 'new' }, eventTime: '2026-01-01T00:00:00.000000Z', type: 'Normal', reason: 'Made', action: 'Making', note: 'so', reportingController: 'example.com/x', reportingInstance: 'x-1', regarding: { kind: 'Pod', namespace: 'default', name: 'db' } }
  t.match(await ask(server, 'POST', other, event), { status: 201, body: { apiVersion: 'events.k8s.io/v1', note: 'so' } })
  t.match((await ask(server, 'GET', `${core}/new`)).body, { apiVersion: 'v1', message: 'so', reportingComponent: 'example.com/x', involvedObject: { name: 'db' } })
  t.match((await ask(server, 'GET', `${core}?fieldSelector=involvedObject.name%3Ddb`)).body, { items: [{ metadata: { name: 'new' } }] })
  t.match((await ask(server, 'GET', `${other}?fieldSelector=regarding.name%3Dweb`)).body, { kind: 'EventList', apiVersion: 'events.k8s.io/v1', items: [{ metadata: { name: 'old' }, note: 'it is' }] })
  t.match((await ask(server, 'GET', other, undefined, { accept: 'application/json;as=Table;g=meta.k8s.io;v=v1' })).body, { rows: [{}, {}], columnDefinitions: [{ name: 'Last Seen' }, { name: 'Type' }, { name: 'Reason' }, { name: 'Object' }, {}, {}, { name: 'Message' }] })
  t.match(await ask(server, 'PATCH', `${other}/new`, { series: { count: 3, lastObservedTime: '2026-01-01T00:01:00.000000Z' } }, merge), { status: 200, body: { series: { count: 3 } } })
  t.match((await ask(server, 'GET', `${core}/new`)).body, { series: { count: 3 } })
  t.equal((await ask(server, 'DELETE', `${other}/new`)).status, 200)
  t.equal((await ask(server, 'GET', `${core}/new`)).status, 404)
})

t.test('both forms are written in protobuf too, alone and in watches', async (t) => {
  const { server } = await startTestServer(t)
  const at = '/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers'
  await ask(server, 'POST', at, { metadata: { name: 'a' }, spec: { scaleTargetRef: { kind: 'Deployment', name: 'web', apiVersion: 'apps/v1' }, maxReplicas: 5, targetCPUUtilizationPercentage: 60 } })
  const accept = 'application/vnd.kubernetes.protobuf'
  const { headers, body } = await server.transport({ name: 'a', groups: ['system:masters'] })({ method: 'GET', path: `${at}?watch=1`, headers: { accept: `${accept};stream=watch` } })
  t.match(headers['content-type'], /^application\/vnd.kubernetes.protobuf;stream=watch/)
  for await (const piece of body) {
    const frame = Buffer.from(piece)
    t.equal(frame.readUInt32BE(0), frame.length - 4, 'the length goes before the event')
    t.ok(frame.includes('ADDED') && frame.includes('k8s\0') && frame.includes('autoscaling/v1') && frame.includes('web'))
    break
  }
  const read = await server.transport({ name: 'a', groups: ['system:masters'] })({ method: 'GET', path: `${at}/a`, headers: { accept } })
  const pieces: Uint8Array[] = []
  for await (const piece of read.body) pieces.push(piece)
  t.match(decodeBody(Buffer.concat(pieces), accept), { kind: 'HorizontalPodAutoscaler', apiVersion: 'autoscaling/v1', spec: { maxReplicas: 5, targetCPUUtilizationPercentage: 60 } })
})

t.test('an autoscaler of either version is seen in the other, and nothing is lost on the way', async (t) => {
  const { server } = await startTestServer(t)
  const at = (version: string): string => `/apis/autoscaling/${version}/namespaces/default/horizontalpodautoscalers`
  const scaleTargetRef = { kind: 'Deployment', name: 'web', apiVersion: 'apps/v1' }
  const made = await ask(server, 'POST', at('v1'), { metadata: { name: 'a' }, spec: { scaleTargetRef, maxReplicas: 5, targetCPUUtilizationPercentage: 60 } })
  t.match(made, { status: 201, body: { apiVersion: 'autoscaling/v1', spec: { minReplicas: 1, targetCPUUtilizationPercentage: 60 } } })
  t.match((await ask(server, 'GET', `${at('v2')}/a`)).body, { apiVersion: 'autoscaling/v2', spec: { minReplicas: 1, metrics: [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 60 } } }] } })
  const metrics = [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 70 } } }, { type: 'Pods', pods: { metric: { name: 'hits' }, target: { type: 'AverageValue', averageValue: '10' } } }]
  const second = await ask(server, 'POST', at('v2'), { metadata: { name: 'b', annotations: { mine: 'yes' } }, spec: { scaleTargetRef, maxReplicas: 5, metrics, behavior: { scaleDown: { stabilizationWindowSeconds: 5 } } } })
  const old = await ask(server, 'GET', `${at('v1')}/b`)
  t.match(old.body, { spec: { targetCPUUtilizationPercentage: 70 }, metadata: { annotations: { mine: 'yes', 'autoscaling.alpha.kubernetes.io/metrics': /hits/, 'autoscaling.alpha.kubernetes.io/behavior': /stabilization/ } } })
  t.match(await ask(server, 'PUT', `${at('v1')}/b`, { ...old.body, spec: { ...(old.body['spec'] as Json), maxReplicas: 9 } }), { status: 200 })
  const { body } = await ask(server, 'GET', `${at('v2')}/b`)
  const { metrics: _metrics, ...rest } = second.body['spec'] as Json
  t.match(body['spec'], { ...rest, maxReplicas: 9 })
  t.same(new Set((body['spec'] as { metrics: Json[] }).metrics.map(({ type }) => type)), new Set(['Pods', 'Resource']))
  t.same((body['metadata'] as Json)['annotations'], { mine: 'yes' })
  t.match(await ask(server, 'GET', '/apis/autoscaling'), { body: { preferredVersion: { version: 'v2' } } })
})
