// Bad input: whatever comes, the answer is a Status, the server goes on, and nothing of it is kept.
import * as fc from 'fast-check'
import { connect } from 'node:tls'
import t from 'tap'
import { parseKubeconfig } from '../../api/kubeconfig.ts'
import type { ApiServer } from './index.ts'
import { encodeMessage, envelope } from './protobuf/encode.ts'
import { ask, pod, startTestServer } from './test-support/server.ts'
import type { Answer } from './test-support/server.ts'

const configMaps = '/api/v1/namespaces/default/configmaps'
const runs = process.env['FAIRWAY_SOAK'] === '1' ? 5000 : 150

function isSound({ status, body, text }: Answer): boolean {
  if (status === 500) throw new Error(`the server failed: ${text}`)
  // A Status in the encoding that was asked for.
  if (status < 400 || status === 404 || (body['kind'] === 'Status' && body['code'] === status) || /^kind: Status$|^k8s\0/m.test(text)) return true
  throw new Error(`${status} without a Status: ${text}`)
}

const part = fc.oneof(fc.constantFrom('api', 'apis', 'v1', 'apps', 'namespaces', 'default', 'pods', 'configmaps', 'status', 'scale', 'log', 'proxy', '..', '.', '%00', '%2e%2e', '%E0', '__proto__', 'constructor', 'toString', 'watch', ''), fc.string({ maxLength: 12 }))
const query = fc.oneof(fc.constant(''), fc.constantFrom('watch=maybe&timeoutSeconds=-1', 'limit=-1', 'limit=1e9', 'continue=e30', 'continue=bnVsbA', 'resourceVersion=x', 'resourceVersionMatch=Never', 'labelSelector=a in (', 'labelSelector=!!', 'fieldSelector==', 'fieldSelector=__proto__=1', 'dryRun=no', 'fieldValidation=none', 'pretty=1', '__proto__=1', '%E0%A4%A'), fc.string({ maxLength: 20 }))

t.test('paths, queries and methods that make no sense are refused', async (t) => {
  const { server } = await startTestServer(t)
  await fc.assert(fc.asyncProperty(fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'HEAD', 'FROB'), fc.array(part, { maxLength: 7 }), query, fc.constantFrom('{}', '[]', 'null', '', '{"kind":"Pod"}'), async (method, parts, text, body) => {
    const url = `/${parts.join('/')}?${text}`
    if (/watch/.test(url)) return
    isSound(await ask(server, method, url, method === 'GET' || method === 'HEAD' ? undefined : body))
  }), { numRuns: runs })
  t.equal((await ask(server, 'GET', '/readyz')).status, 200)
})

const names = fc.constantFrom('__proto__', 'constructor', 'prototype', 'hasOwnProperty', 'toString', 'metadata', 'spec', 'containers', 'name', 'labels', 'data', 'finalizers', 'ownerReferences', 'x')
const { tree } = fc.letrec((tie) => ({ tree: fc.oneof({ depthSize: 'small' }, fc.constantFrom(null, true, 0, -1, 1e308, '', 'x'), fc.string({ maxLength: 8 }), fc.array(tie('tree'), { maxLength: 3 }), fc.array(fc.tuple(names, tie('tree')), { maxLength: 4 }).map((pairs) => `\u0000{${pairs.map(([name, value]) => `${JSON.stringify(name)}:${textOf(value)}`).join()}}`)) }))

/** JSON text, with keys that an object of JavaScript could not hold; a leading NUL marks what is text already. */
function textOf(value: unknown): string {
  if (typeof value === 'string' && value.startsWith('\u0000{')) return value.slice(1)
  return Array.isArray(value) ? `[${value.map(textOf).join()}]` : JSON.stringify(value)
}

t.test('bodies and patches of any shape are taken or refused, and pollute nothing', async (t) => {
  const { server } = await startTestServer(t)
  await ask(server, 'POST', configMaps, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' }, data: { a: '1' } })
  await ask(server, 'POST', '/api/v1/namespaces/default/pods', pod('p'))
  const types = ['application/merge-patch+json', 'application/strategic-merge-patch+json', 'application/json-patch+json', 'application/json', 'application/yaml', 'application/vnd.kubernetes.protobuf', 'text/html']
  await fc.assert(fc.asyncProperty(tree, fc.constantFrom(...types), fc.constantFrom('POST', 'PATCH', 'PUT'), fc.constantFrom('pods/p', 'configmaps/a', 'services/s'), async (value, type, method, target) => {
    const text = textOf(value)
    const path = `/api/v1/namespaces/default/${method === 'POST' ? target.split('/')[0] : target}?dryRun=All`
    const about = `"apiVersion":"v1","kind":${JSON.stringify({ pods: 'Pod', configmaps: 'ConfigMap', services: 'Service' }[target.split('/')[0] ?? ''])}`
    isSound(await ask(server, method, path, text.startsWith('{') && text !== '{}' ? `{${about},${text.slice(1)}` : text, { 'content-type': type }))
  }), { numRuns: runs })
  t.equal(Object.keys(Object.prototype).length, 0)
  t.equal(({} as Record<string, unknown>)['x'], undefined)
  t.match((await ask(server, 'GET', `${configMaps}/a`)).body, { data: { a: '1' } })
})

t.test('keys that JavaScript gives a meaning to are data or are refused', async (t) => {
  const { server } = await startTestServer(t)
  const body = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b","labels":{"constructor":"x","toString":"y"}},"data":{"constructor":"1","hasOwnProperty":"2","prototype":"3"}}'
  t.match(await ask(server, 'POST', configMaps, body), { status: 201 })
  t.match((await ask(server, 'GET', `${configMaps}?labelSelector=constructor%3Dx`)).body['items'], [{ data: { constructor: '1', hasOwnProperty: '2', prototype: '3' } }])
  t.same((await ask(server, 'GET', `${configMaps}?labelSelector=valueOf`)).body['items'], [])
  for (const key of ['"__proto__"', '"\\u005f_proto__"']) t.match(await ask(server, 'POST', configMaps, `{"metadata":{"name":"c"},"data":{${key}:"x"}}`), { status: 400 })
  t.match(await ask(server, 'PATCH', `${configMaps}/b`, '[{"op":"add","path":"/__proto__/polluted","value":"yes"}]', { 'content-type': 'application/json-patch+json' }), { status: /4../ })
  t.equal(({} as Record<string, unknown>)['polluted'], undefined)
})

t.test('an object of 100,000 keys and one of great depth are answered in time', async (t) => {
  const { server } = await startTestServer(t)
  const data = Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`k${i}`, 'v']))
  const wide = await ask(server, 'POST', configMaps, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'wide' }, data })
  t.ok(wide.status === 201 || isSound(wide), `${wide.status}`)
  const merged = await ask(server, 'PATCH', `${configMaps}/wide`, { data: { k5: null, more: 'x' } }, { 'content-type': 'application/merge-patch+json' })
  t.ok(isSound(merged))
  for (const deep of [`${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}`, '['.repeat(100_000)]) {
    const answer = await ask(server, 'POST', configMaps, `{"metadata":{"name":"deep"},"data":${deep}}`)
    t.ok(answer.status >= 400 && answer.status < 500, `${answer.status} ${answer.text.slice(0, 80)}`)
  }
})

t.test('depth is bounded in YAML, in protobuf and in the JSON within it, and aliases do not multiply', async (t) => {
  const { server } = await startTestServer(t)
  const refused = async (type: string, body: string | Buffer, path = configMaps): Promise<void> => void t.match(await ask(server, 'POST', path, body, { 'content-type': type }), { status: 400, body: { kind: 'Status', reason: 'BadRequest' } }, `${type} ${body.length}`)
  for (const depth of [600, 5000, 300_000]) {
    await refused('application/yaml', `metadata: {name: deep}\ndata: ${'['.repeat(depth)}`)
    await refused('application/yaml', `metadata: {name: deep}\ndata: ${'{a: '.repeat(depth)}1${'}'.repeat(depth)}`)
    await refused('application/json; x=protobuf', `{"metadata":{"name":"deep"},"data":${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}}`)
    const raw = Buffer.from(`${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`)
    const revision = encodeMessage('apps.v1.ControllerRevision', { metadata: { name: 'deep' }, revision: 1 })
    const length = Buffer.from(encodeMessage('meta.v1.ListMeta', { resourceVersion: 'x'.repeat(raw.length) })).subarray(1, -raw.length)
    const data = Buffer.concat([Buffer.from([0x0a]), length, raw])
    const outer = Buffer.from(encodeMessage('meta.v1.ListMeta', { resourceVersion: 'x'.repeat(data.length) })).subarray(1, -data.length)
    await refused('application/vnd.kubernetes.protobuf', envelope('apps/v1', 'ControllerRevision', Buffer.concat([revision, Buffer.from([0x12]), outer, data])), '/apis/apps/v1/namespaces/default/controllerrevisions')
  }
  const laughs = Array.from({ length: 20 }, (_, i) => `a${i}: &a${i} [${i === 0 ? 'x' : Array.from({ length: 9 }, () => `*a${i - 1}`).join(', ')}]`).join('\n')
  await refused('application/yaml', `metadata: {name: laughs}\n${laughs}`)
  await refused('application/yaml', 'metadata: &m {name: round, labels: *m}')
  t.equal((await ask(server, 'GET', '/readyz')).status, 200)
})

const headers = fc.array(fc.tuple(fc.constantFrom('accept', 'accept-encoding', 'authorization', 'content-type', 'user-agent', 'impersonate-user', 'impersonate-group', 'impersonate-extra-%2f', 'x-stream-protocol-version', 'upgrade', 'expect', 'if-match', 'x-forwarded-for', 'x-remote-user'), fc.oneof(fc.constantFrom('', '*', '*/*;q=', ';;;', 'application/json;as=__proto__;g=meta.k8s.io;v=v1', 'application/vnd.kubernetes.protobuf;as=constructor', 'application/json;q=NaN,application/yaml;q=-1', 'Bearer', 'Bearer ..', 'Basic x', 'system:masters'), fc.string({ maxLength: 30 }))), { maxLength: 4 })

t.test('headers of any kind are heeded or refused', async (t) => {
  const { server } = await startTestServer(t)
  await fc.assert(fc.asyncProperty(headers, fc.constantFrom('GET', 'POST', 'DELETE', 'PATCH'), async (pairs, method) => {
    const { 'content-type': type = '', ...rest } = Object.fromEntries(pairs)
    isSound(await ask(server, method, `${configMaps}${method === 'GET' || method === 'POST' ? '' : '/a'}`, method === 'GET' ? undefined : '{}', { ...rest, 'content-type': type }, { name: 'admin', groups: ['system:masters'] }))
  }), { numRuns: runs })
  t.equal((await ask(server, 'GET', '/readyz')).status, 200)
})

/** A connection that sends some bytes and nothing more. */
function halfOpen(server: ApiServer, text: string): { readonly closed: Promise<void>; destroy(): void } {
  const { ca, clientCert, clientKey } = parseKubeconfig(server.adminKubeconfig(), { directory: '/' })
  const socket = connect({ host: '127.0.0.1', port: server.port, ca: ca ?? '', cert: clientCert ?? '', key: clientKey ?? '', ALPNProtocols: ['http/1.1'] })
  socket.on('error', () => socket.destroy())
  socket.once('secureConnect', () => socket.write(text))
  socket.resume()
  return { closed: new Promise((resolve) => void socket.once('close', () => resolve())), destroy: () => void socket.destroy() }
}

t.test('clients that stop halfway, in headers, bodies and watches, hold up nobody and leave nothing', async (t) => {
  const { server } = await startTestServer(t)
  const head = 'Host: localhost\r\nContent-Type: application/json\r\n'
  const halves = [
    'GET /api/v1/pods HTTP/1.1\r\nHost: loc',
    `POST ${configMaps} HTTP/1.1\r\n${head}Content-Length: 1000\r\n\r\n{"metadata":`,
    `GET ${configMaps}?watch=1 HTTP/1.1\r\n${head}\r\n`,
    'NONSENSE\r\n\r\n', '\u0000\u0001\u0002', `GET /api/v1/pods HTTP/1.1\r\n${head}X: ${'x'.repeat(100_000)}\r\n\r\n`,
  ].flatMap((text) => Array.from({ length: 10 }, () => halfOpen(server, text)))
  await new Promise((resolve) => void setTimeout(resolve, 200))
  t.equal((await ask(server, 'POST', configMaps, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' } })).status, 201)
  const watches = async (): Promise<number> => Number(/^fairway_\S*watch\S* (\d+)$|^apiserver_longrunning_requests\S* (\d+)$/m.exec((await ask(server, 'GET', '/metrics')).text)?.slice(1).find((text) => text !== undefined) ?? NaN)
  for (const half of halves) half.destroy()
  await Promise.all(halves.map(({ closed }) => closed))
  for (let turn = 0; turn < 100 && (await watches()) > 0; turn++) await new Promise((resolve) => void setTimeout(resolve, 10))
  t.equal(await watches(), 0, 'no watch is left')
  t.equal((await ask(server, 'GET', `${configMaps}/a`)).status, 200)
})
