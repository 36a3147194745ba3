// Bad input leaves nothing behind: after thousands of requests that are refused, each unlike those before, the heap is where it was.
import { connect } from 'node:tls'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { parseKubeconfig } from '../../api/kubeconfig.ts'
import type { ApiServer } from './index.ts'
import { envelope } from './protobuf/encode.ts'
import { ask, pod, startTestServer } from './test-support/server.ts'

const rounds = process.env['FAIRWAY_SOAK'] === '1' ? 40 : 3
const perRound = 1000
/** Of heap that may be more after all the measured rounds: what engines and test runners keep varies by so much. */
const growthMax = 3 * 1024 * 1024

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

async function heapUsed(): Promise<number> {
  for (let turn = 0; turn < 4; turn++) {
    collect()
    await new Promise((resolve) => void setImmediate(resolve))
  }
  return process.memoryUsage().heapUsed
}

const configMaps = '/api/v1/namespaces/default/configmaps'
const long = 'x'.repeat(2000)

/** One bad request of each kind; `id` makes it one that was never made. */
const kinds: Readonly<Record<string, (server: ApiServer, id: string) => Promise<unknown>>> = {
  'no such object': (server, id) => ask(server, 'GET', `${configMaps}/${id}`),
  'no such resource': (server, id) => ask(server, 'GET', `/apis/${id}.example.com/v1/${id}s`),
  'no such path': (server, id) => ask(server, 'GET', `/${id}/${long}`),
  'no such method': (server, id) => ask(server, id.toUpperCase(), `${configMaps}/${id}`),
  'no such subresource': (server, id) => ask(server, 'GET', `${configMaps}/a/${id}`),
  'no JSON': (server, id) => ask(server, 'POST', configMaps, `{"${id}":${long}`),
  'no YAML': (server, id) => ask(server, 'POST', configMaps, `${id}: [&a ${long}, *b`, { 'content-type': 'application/yaml' }),
  'no protobuf': (server, id) => ask(server, 'POST', configMaps, Buffer.from(`k8s\0${id}${long}`), { 'content-type': 'application/vnd.kubernetes.protobuf' }),
  'no such kind in protobuf': (server, id) => ask(server, 'POST', configMaps, envelope(`${id}.k8s.io/v1`, id, Buffer.from(long)), { 'content-type': 'application/vnd.kubernetes.protobuf' }),
  'no such encoding': (server, id) => ask(server, 'GET', configMaps, undefined, { accept: `${id}/${long}`, 'user-agent': id }),
  'unknown fields': (server, id) => ask(server, 'POST', `${configMaps}?fieldValidation=Strict`, { metadata: { name: id }, [id]: long }),
  'wrong values': (server, id) => ask(server, 'POST', '/api/v1/namespaces/default/pods', pod('Upper', { [id]: id, restartPolicy: id })),
  'wrong selectors': (server, id) => ask(server, 'GET', `${configMaps}?labelSelector=${id}%20in%20(&fieldSelector=${id}%3D${long}`),
  'wrong pages': (server, id) => ask(server, 'GET', `${configMaps}?limit=1&continue=${Buffer.from(id).toString('base64url')}`),
  'wrong patches': (server, id) => ask(server, 'PATCH', `${configMaps}/a?fieldManager=${id}`, [{ op: 'replace', path: `/${id}`, value: long }], { 'content-type': 'application/json-patch+json' }),
  'wrong configurations': (server, id) => ask(server, 'PATCH', `${configMaps}/${id}?fieldManager=${id}`, { apiVersion: 'v1', kind: id, metadata: { name: id } }, { 'content-type': 'application/apply-patch+yaml' }),
  'dry runs': (server, id) => ask(server, 'POST', `${configMaps}?dryRun=All`, { metadata: { name: id }, data: { [id]: long } }),
  'strangers': (server, id) => ask(server, 'GET', configMaps, undefined, {}, { name: id, groups: [id] }),
  'impostors': (server, id) => ask(server, 'GET', configMaps, undefined, { 'impersonate-user': id, 'impersonate-group': id }),
  'tokens': (server, id) => ask(server, 'GET', configMaps, undefined, { authorization: `Bearer ${id}.${long}` }),
  'watches that are left': async (server, id) => {
    const abort = new AbortController()
    const { body } = await server.transport({ name: 'admin', groups: ['system:masters'] })({ method: 'GET', path: `${configMaps}?watch=1&resourceVersion=0&fieldSelector=metadata.name%3D${id}`, headers: {}, signal: abort.signal })
    abort.abort()
    await body[Symbol.asyncIterator]().next().catch(() => undefined)
  },
}

async function round(server: ApiServer, name: string, count: number): Promise<void> {
  const bad = kinds[name] as (typeof kinds)[string]
  for (let i = 0; i < count; i++) {
    await bad(server, `${name.replaceAll(/\W/g, '')}${Math.random().toString(36).slice(2)}`.toLowerCase())
  }
}

t.test('requests that are refused leave nothing', { timeout: 600_000 }, async (t) => {
  const { server } = await startTestServer(t)
  await ask(server, 'POST', configMaps, { metadata: { name: 'a' } })
  const names = Object.keys(kinds)
  const each = Math.ceil(perRound / names.length)
  for (let warm = 0; warm < 3; warm++) for (const name of names) await round(server, name, each)
  const before = await heapUsed()
  for (let i = 0; i < rounds; i++) for (const name of names) await round(server, name, each)
  const grown = (await heapUsed()) - before
  t.comment(`${rounds * names.length * each} requests, heap ${(grown / 1024).toFixed(0)} KiB larger`)
  if (grown > growthMax) {
    for (const name of names) {
      const start = await heapUsed()
      await round(server, name, perRound)
      t.comment(`${name}: ${((await heapUsed()) - start) / perRound} bytes a request`)
    }
  }
  t.ok(grown < growthMax, `${grown} bytes`)
  t.equal((await ask(server, 'GET', '/readyz')).status, 200)
})

/** A connection over TLS that says something and goes without a word. */
function hangUp(server: ApiServer, text: string): Promise<void> {
  const { ca, clientCert, clientKey } = parseKubeconfig(server.adminKubeconfig(), { directory: '/' })
  const socket = connect({ host: '127.0.0.1', port: server.port, ca: ca ?? '', cert: clientCert ?? '', key: clientKey ?? '', ALPNProtocols: ['http/1.1'] })
  socket.on('error', () => socket.destroy())
  socket.once('secureConnect', () => socket.write(text, () => setImmediate(() => socket.destroy())))
  return new Promise((resolve) => void socket.once('close', () => resolve()))
}

t.test('connections that break off leave nothing', { timeout: 600_000 }, async (t) => {
  const { server } = await startTestServer(t)
  const head = 'Host: localhost\r\nContent-Type: application/json\r\n'
  const texts = [
    'GET /api/v1/pods HTTP/1.1\r\nHost: loc', `POST ${configMaps} HTTP/1.1\r\n${head}Content-Length: 100000\r\n\r\n{"metadata":${long}`, `GET ${configMaps}?watch=1 HTTP/1.1\r\n${head}\r\n`,
    `POST /api/v1/namespaces/default/pods/a/exec?command=x HTTP/1.1\r\n${head}Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n\x80\x03`, 'NONSENSE\r\n\r\n',
  ]
  const some = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) await Promise.all(texts.map((text) => hangUp(server, text)))
  }
  await some(20)
  const before = await heapUsed()
  await some(process.env['FAIRWAY_SOAK'] === '1' ? 1000 : 40)
  const grown = (await heapUsed()) - before
  t.comment(`heap ${(grown / 1024).toFixed(0)} KiB larger`)
  t.ok(grown < growthMax, `${grown} bytes`)
})
