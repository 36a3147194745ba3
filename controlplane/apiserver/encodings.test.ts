// What goes over the wire besides plain JSON: gzip, protobuf, YAML, integers of 64 bits.
import { once } from 'node:events'
import { request } from 'node:https'
import type { IncomingMessage } from 'node:http'
import { gunzipSync, gzipSync } from 'node:zlib'
import t from 'tap'
import { parseKubeconfig } from '../../api/kubeconfig.ts'
import type { ApiServer } from './index.ts'
import { decodeProtobuf } from './protobuf/decode.ts'
import { encodeProtobuf } from './protobuf/encode.ts'
import { records } from './protobuf/wire.ts'
import { ask, pod, startTestServer } from './test-support/server.ts'

const configMaps = '/api/v1/namespaces/default/configmaps'
const protobuf = 'application/vnd.kubernetes.protobuf'
const large = 'x'.repeat(1000)

/** An answer over TLS and HTTP/1.1, not decoded. */
async function raw(server: ApiServer, path: string, headers: Record<string, string>, body?: Buffer): Promise<{ response: IncomingMessage; bytes: () => Promise<Buffer> }> {
  const { ca, clientCert, clientKey } = parseKubeconfig(server.adminKubeconfig(), { directory: '/' })
  const outgoing = request(server.url + path, { method: body === undefined ? 'GET' : 'POST', ca: ca!, cert: clientCert!, key: clientKey!, agent: false, headers })
  const [response] = (await once(outgoing.end(body), 'response')) as [IncomingMessage]
  return { response, bytes: async () => Buffer.concat((await response.toArray()) as Buffer[]) }
}

/** The first lines of a watch. */
async function firstLines(server: ApiServer, path: string, accept: string, count: number): Promise<string[]> {
  const { response } = await raw(server, path, { accept })
  let text = ''
  for await (const chunk of response as AsyncIterable<Buffer>) {
    text += chunk.toString()
    if (text.split('\n').length > count) break
  }
  return text.split('\n').slice(0, count)
}

async function fill(server: ApiServer, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await ask(server, 'POST', configMaps, { metadata: { name: `c${i}` }, data: { large } })
}

t.test('a large answer is compressed for those who take gzip, and for nobody else', async (t) => {
  const { server } = await startTestServer(t)
  await fill(server, 300)
  const plain = await (await raw(server, configMaps, {})).bytes()
  t.ok(plain.length > 300_000)
  for (const accepted of ['gzip', 'deflate, gzip', ' gzip ,br']) {
    const { response, bytes } = await raw(server, configMaps, { 'accept-encoding': accepted })
    t.match(response.headers, { 'content-encoding': 'gzip', vary: 'Accept-Encoding', 'content-type': 'application/json' }, accepted)
    const packed = await bytes()
    t.ok(packed.length < plain.length / 5)
    t.ok(gunzipSync(packed).equals(plain))
  }
  for (const refused of ['identity', 'deflate, br', 'gzipped', 'gzip;q=0', '*', '']) {
    const { response, bytes } = await raw(server, configMaps, { 'accept-encoding': refused })
    t.equal(response.headers['content-encoding'], undefined, refused)
    t.ok((await bytes()).equals(plain))
  }
  const small = await raw(server, `${configMaps}/c1`, { 'accept-encoding': 'gzip' })
  t.equal(small.response.headers['content-encoding'], undefined, 'what is small is not')
  await small.bytes()
  const watch = await raw(server, `${configMaps}?watch=1&resourceVersion=0`, { 'accept-encoding': 'gzip' })
  t.equal(watch.response.headers['content-encoding'], undefined, 'a watch is not')
  watch.response.destroy()
  const table = await raw(server, `${configMaps}?includeObject=Object`, { 'accept-encoding': 'gzip', accept: 'application/json;as=Table;g=meta.k8s.io;v=v1' })
  t.match(JSON.parse(gunzipSync(await table.bytes()).toString()), { kind: 'Table', rows: { length: 300 } })
})

t.test('who takes half of an answer, or sends what it does not say, harms nobody', async (t) => {
  const { server } = await startTestServer(t)
  await fill(server, 300)
  for (const encoding of ['gzip', 'identity']) {
    const { response } = await raw(server, configMaps, { 'accept-encoding': encoding })
    await once(response, 'readable')
    response.destroy()
  }
  const object = Buffer.from(JSON.stringify({ metadata: { name: 'packed' } }))
  const packed = await raw(server, configMaps, { 'content-type': 'application/json', 'content-encoding': 'gzip' }, gzipSync(object))
  t.match([packed.response.statusCode, JSON.parse((await packed.bytes()).toString())], [400, { kind: 'Status', reason: 'BadRequest' }])
  const lying = await raw(server, configMaps, { 'content-type': 'application/json', 'content-encoding': 'gzip' }, object)
  t.equal(lying.response.statusCode, 201, 'as kube-apiserver, which does not look')
  lying.response.resume()
  t.equal(((await ask(server, 'GET', configMaps)).body['items'] as unknown[]).length, 301)
})

t.test('objects of built-in kinds are written and read in protobuf', async (t) => {
  const { server } = await startTestServer(t)
  const asProtobuf = { accept: protobuf, 'content-type': protobuf }
  const send = async (method: string, path: string, object?: Record<string, unknown>): Promise<{ status: number; type: string | undefined; object: Record<string, unknown> }> => {
    const { status, headers, body } = await server.transport({ name: 'admin', groups: ['system:masters'] })({ method, path, headers: asProtobuf, ...(object === undefined ? {} : { body: encodeProtobuf(object)! }) })
    const bytes = Buffer.concat(await Array.fromAsync(body))
    return { status, type: headers['content-type'], object: decodeProtobuf(bytes) }
  }
  const created = await send('POST', '/api/v1/namespaces/default/pods', pod('p'))
  t.match(created, { status: 201, type: protobuf, object: { kind: 'Pod', apiVersion: 'v1', metadata: { name: 'p', uid: String, resourceVersion: String }, spec: { containers: [{ name: 'main' }] }, status: { phase: 'Pending' } } })
  const same = (await ask(server, 'GET', '/api/v1/namespaces/default/pods/p')).body
  t.match(await send('GET', '/api/v1/namespaces/default/pods/p'), { status: 200, object: same as object })
  t.match(await send('PUT', '/api/v1/namespaces/default/pods/p', { ...created.object, metadata: { ...(created.object['metadata'] as object), labels: { a: 'b' } } }), { status: 200, object: { metadata: { labels: { a: 'b' } } } })
  t.match(await send('GET', '/api/v1/namespaces/default/pods/none'), { status: 404, type: protobuf, object: { kind: 'Status', status: 'Failure', reason: 'NotFound', code: 404, details: { name: 'none', kind: 'pods' } } })
  t.match(await send('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectAccessReview', spec: { resourceAttributes: { verb: 'get', resource: 'pods' } } }), { status: 201, object: { status: { allowed: true } } })
  const deployment = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'd' }, spec: { replicas: 0, selector: { matchLabels: { a: 'b' } }, template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'x' }] } } } }
  t.match(await send('POST', '/apis/apps/v1/namespaces/default/deployments', deployment), { status: 201, object: { spec: { replicas: 0 } } })
  t.match(await send('GET', '/apis/apps/v1/namespaces/default/deployments/d/scale'), { status: 200, object: { kind: 'Scale', apiVersion: 'autoscaling/v1', metadata: { name: 'd' } } })
  t.match(await send('DELETE', '/apis/apps/v1/namespaces/default/deployments/d', { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy: 'Foreground' }), { status: 200 })
  t.match((await ask(server, 'GET', '/apis/apps/v1/namespaces/default/deployments/d')).body, { metadata: { finalizers: ['foregroundDeletion'] } })
  t.match(await ask(server, 'PATCH', '/api/v1/namespaces/default/pods/p', '{}', { 'content-type': protobuf }), { status: 415 })
})

/** The items of a list, or the fields of any message, by number. */
function fields(bytes: Buffer): Map<number, Buffer[]> {
  const found = new Map<number, Buffer[]>()
  for (const { number, value } of records(bytes)) found.set(number, [...(found.get(number) ?? []), Buffer.isBuffer(value) ? value : Buffer.from(String(value))])
  return found
}

t.test('lists, metadata and watches come in protobuf', async (t) => {
  const { server, client } = await startTestServer(t)
  await fill(server, 300)
  const list = await raw(server, configMaps, { accept: `${protobuf},application/json` })
  const bytes = await list.bytes()
  t.equal(list.response.headers['content-type'], protobuf)
  const message = fields(fields(bytes.subarray(4)).get(2)?.[0] ?? Buffer.alloc(0))
  t.equal(message.get(2)?.length, 300)
  t.match(fields(message.get(1)?.[0] ?? Buffer.alloc(0)).get(2)?.[0]?.toString(), /^\d+$/, 'resourceVersion')
  const page = fields(fields((await (await raw(server, `${configMaps}?limit=1`, { accept: protobuf })).bytes()).subarray(4)).get(2)?.[0] ?? Buffer.alloc(0))
  t.match(fields(page.get(1)?.[0] ?? Buffer.alloc(0)).get(4)?.toString(), '299', 'remainingItemCount')
  const metadata = await (await raw(server, configMaps, { accept: `${protobuf};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1` })).bytes()
  t.match(metadata.toString('latin1'), /meta\.k8s\.io\/v1.*PartialObjectMetadataList/)
  t.ok(metadata.length < bytes.length / 3)
  const watch = await raw(server, `${configMaps}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&fieldSelector=metadata.name%3Dc1`, { accept: `${protobuf};stream=watch` })
  t.equal(watch.response.headers['content-type'], `${protobuf};stream=watch`)
  const seen: string[] = []
  let rest = Buffer.alloc(0)
  for await (const chunk of watch.response as AsyncIterable<Buffer>) {
    rest = Buffer.concat([rest, chunk])
    while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE(0)) {
      const event = fields(rest.subarray(4, 4 + rest.readUInt32BE(0)))
      rest = rest.subarray(4 + rest.readUInt32BE(0))
      const { kind, metadata } = decodeProtobuf(fields(event.get(2)?.[0] ?? Buffer.alloc(0)).get(1)?.[0] ?? Buffer.alloc(0)) as { kind: string; metadata: { name?: string; annotations?: object } }
      seen.push(`${event.get(1)?.toString() ?? ''} ${kind} ${metadata.name ?? JSON.stringify(metadata.annotations)}`)
      if (seen.length === 2) await client.delete({ group: '', version: 'v1', plural: 'configmaps', kind: 'ConfigMap', namespaced: true }, { namespace: 'default', name: 'c1' })
    }
    if (seen.length === 3) break
  }
  t.same(seen, ['ADDED ConfigMap c1', 'BOOKMARK ConfigMap {"k8s.io/initial-events-end":"true"}', 'DELETED ConfigMap c1'])
})

t.test('a watch comes as tables and as metadata', async (t) => {
  const { server } = await startTestServer(t)
  await fill(server, 1)
  const events = async (as: string): Promise<{ type: string; object: Record<string, unknown> }[]> => {
    const query = 'watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&fieldSelector=metadata.name%3Dc0'
    return (await firstLines(server, `${configMaps}?${query}`, `application/json;as=${as};g=meta.k8s.io;v=v1`, 2)).map((line) => JSON.parse(line) as { type: string; object: Record<string, unknown> })
  }
  const tables = await events('Table')
  t.match(tables, [{ type: 'ADDED', object: { kind: 'Table', columnDefinitions: [{ name: 'Name' }], rows: [{ cells: ['c0', 1], object: { kind: 'PartialObjectMetadata', metadata: { name: 'c0' } } }] } }, { type: 'BOOKMARK', object: { kind: 'Table', rows: [{ object: { metadata: { annotations: { 'k8s.io/initial-events-end': 'true' } } } }] } }])
  const metadata = await events('PartialObjectMetadata')
  t.match(metadata, [{ type: 'ADDED', object: { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: { name: 'c0' } } }, { type: 'BOOKMARK', object: { kind: 'PartialObjectMetadata' } }])
  t.notOk('data' in (metadata[0]?.object ?? {}))
})

const definition = {
  apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', metadata: { name: 'things.example.com' },
  spec: {
    group: 'example.com', scope: 'Namespaced', names: { plural: 'things', singular: 'thing', kind: 'Thing', listKind: 'ThingList' },
    versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object', properties: { spec: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true, properties: { number: { type: 'integer', format: 'int64', minimum: -(2 ** 62) } } } } } } }],
  },
}
const things = '/apis/example.com/v1/namespaces/default/things'

t.test('who asks for what there is not hears which there are, and gets the next of its list', async (t) => {
  const { server } = await startTestServer(t)
  await define(server)
  t.equal((await ask(server, 'POST', things, { apiVersion: 'example.com/v1', kind: 'Thing', metadata: { name: 'a' } })).status, 201)
  const type = async (accept: string, path = `${things}/a`): Promise<string> => {
    const { status, headers } = await ask(server, 'GET', path, undefined, { accept })
    return `${status} ${headers['content-type'] ?? ''}`
  }
  t.equal(await type(protobuf), `406 ${protobuf}`, 'custom resources have no protobuf; the refusal has')
  t.equal(await type(`${protobuf},application/json`), '200 application/json')
  t.equal(await type(`${protobuf};q=0.5,application/yaml;q=0.9`), '200 application/yaml')
  t.equal(await type('text/html'), '406 application/json')
  t.equal(await type(`${protobuf};as=Table;g=meta.k8s.io;v=v1,application/json;as=Table;g=meta.k8s.io;v=v1`, configMaps), '200 application/json', 'tables are JSON')
  t.equal(await type('application/yaml;as=Table;g=meta.k8s.io;v=v1', configMaps), '200 application/yaml')
  t.equal(await type('application/yaml', '/api/v1/nodes/none'), '404 application/yaml')
  t.equal(await type('application/yaml', `${configMaps}?watch=1`), '406 application/yaml')
  t.match(await ask(server, 'POST', configMaps, 'metadata: {name: written}\ndata: {a: "1"}', { 'content-type': 'application/yaml' }), { status: 201, body: { data: { a: '1' } } })
  t.match(await ask(server, 'PUT', `${configMaps}/written`, 'metadata: {name: written}\ndata:\n  a: |\n    two\n', { 'content-type': 'application/yaml' }), { status: 200, body: { data: { a: 'two\n' } } })
  t.match(await ask(server, 'POST', things, 'k8s\0', { 'content-type': protobuf }), { status: /400|415/ })
  t.match(await ask(server, 'POST', configMaps, '<a/>', { 'content-type': 'application/xml' }), { status: 415, body: { kind: 'Status', reason: 'UnsupportedMediaType' } })
})

async function define(server: ApiServer): Promise<void> {
  const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
  const { status, text } = await ask(server, 'POST', path, definition)
  if (status !== 201) throw new Error(text)
  while ((await ask(server, 'GET', things)).status !== 200) await new Promise((resolve) => void setTimeout(resolve, 5))
}

const big = '9007199254740993'
const biggest = '9223372036854775807'

t.test('integers of 64 bits survive create, get, list, watch, every patch, apply and YAML', async (t) => {
  const { server } = await startTestServer(t)
  await define(server)
  const thing = (value: string): string => `{"apiVersion":"example.com/v1","kind":"Thing","metadata":{"name":"a"},"spec":{"number":${value},"other":{"list":[${value},-${value}],"float":1.5,"wide":99999999999999999999}}}`
  t.match((await ask(server, 'POST', things, thing(big))).text, `"number":${big}`)
  const read = async (): Promise<string> => (await ask(server, 'GET', `${things}/a`)).text
  t.match(await read(), `"list":[${big},-${big}],"float":1.5,"wide":100000000000000000000`)
  t.match((await ask(server, 'GET', things)).text, `"number":${big}`)
  const unchanged = JSON.parse(await read()) as { metadata: { resourceVersion: string } }
  t.match((await ask(server, 'PUT', `${things}/a`, (await read()))).body, { metadata: { resourceVersion: unchanged.metadata.resourceVersion } }, 'nothing has changed')
  const patched = async (type: string, patch: string): Promise<string> => (await ask(server, 'PATCH', `${things}/a?fieldManager=m`, patch, { 'content-type': type })).text
  t.match(await patched('application/merge-patch+json', `{"spec":{"number":${biggest}}}`), new RegExp(`"number":${biggest}.*"list":\\[${big},`))
  t.match(await patched('application/json-patch+json', `[{"op":"test","path":"/spec/number","value":${biggest}},{"op":"replace","path":"/spec/number","value":${big}}]`), `"number":${big}`)
  t.match(await patched('application/apply-patch+yaml', `{apiVersion: example.com/v1, kind: Thing, metadata: {name: a}, spec: {applied: ${biggest}, mode: 0644}}`), `"applied":${biggest},"mode":420`)
  t.match((await ask(server, 'GET', `${things}/a`, undefined, { accept: 'application/yaml' })).text, `applied: ${biggest}\n`)
  t.match((await ask(server, 'GET', things, undefined, { accept: 'application/yaml' })).text, `number: ${big}\n`)
  t.match((await firstLines(server, `${things}?watch=1&resourceVersion=0`, 'application/json', 1))[0], `"number":${big}`)
  t.match(await ask(server, 'POST', things, thing(biggest).replace('"a"', '"b"').replace(/"number":/, '"number":-')), { status: 422, text: /spec\.number in body should be greater than or equal to/ })
  t.match((await ask(server, 'POST', things, thing('9223372036854775808').replace('"a"', '"c"'))).text, '"number":9223372036854776000', 'what 64 bits do not hold is the nearest number, as in Go')
})

t.test('integers of 64 bits survive in built-in kinds, in strategic patches and in protobuf', async (t) => {
  const { server } = await startTestServer(t)
  const job = `{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"j"},"spec":{"activeDeadlineSeconds":${big},"template":{"spec":{"restartPolicy":"Never","terminationGracePeriodSeconds":${big},"containers":[{"name":"c","image":"x"}]}}}}`
  const jobs = '/apis/batch/v1/namespaces/default/jobs'
  t.match((await ask(server, 'POST', jobs, job)).text, `"activeDeadlineSeconds":${big}`)
  t.match((await ask(server, 'PATCH', `${jobs}/j`, `{"spec":{"activeDeadlineSeconds":${biggest}}}`, { 'content-type': 'application/strategic-merge-patch+json' })).text, `"activeDeadlineSeconds":${biggest}`)
  const bytes = await (await raw(server, `${jobs}/j`, { accept: protobuf })).bytes()
  t.match(decodeProtobuf(bytes), { spec: { activeDeadlineSeconds: BigInt(biggest), template: { spec: { terminationGracePeriodSeconds: BigInt(big) } } } })
  t.match(await ask(server, 'POST', jobs, job.replace(`Seconds":${big}`, 'Seconds":9223372036854775808')), { status: 400, text: /cannot unmarshal number 9223372036854776000 into Go struct field .* of type int64/ })
  t.match(await ask(server, 'POST', jobs, job.replace('"restartPolicy"', `"priority":${big},"restartPolicy"`)), { status: 400, text: new RegExp(`cannot unmarshal number ${big} into Go struct field .* of type int32`) })
  const graceful = await ask(server, 'POST', '/api/v1/namespaces/default/pods', JSON.stringify(pod('g', { nodeName: 'n' })).replace('"nodeName"', `"terminationGracePeriodSeconds":${big},"nodeName"`))
  t.equal(graceful.status, 201)
  for (const options of [undefined, `{"gracePeriodSeconds":${biggest}}`]) t.match(await ask(server, 'DELETE', '/api/v1/namespaces/default/pods/g', options), { status: 200, body: { metadata: { deletionTimestamp: /^21/ } } })
})
