// Keys that YAML gives twice, in bodies and configurations: the last counts, and the client hears of it as it asked.
import t from 'tap'
import { ask, startTestServer } from '../test-support/server.ts'

const configMaps = '/api/v1/namespaces/default/configmaps'
const text = (name: string): string => `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: ${name}\ndata:\n  a: b\n  a: c\n`
const complaint = 'line 7: key "a" already set in map'

t.test('a key that YAML gives twice is refused, warned of or let through', async (t) => {
  const { server } = await startTestServer(t)
  const ways = [
    ['POST', (name: string) => `${configMaps}?x=${name}`, 'application/yaml'],
    ['PATCH', (name: string) => `${configMaps}/${name}?fieldManager=me`, 'application/apply-patch+yaml'],
  ] as const
  for (const [method, path, type] of ways) {
    const send = (name: string, validation: string): ReturnType<typeof ask> => ask(server, method, `${path(name)}${validation}`, text(name), { 'content-type': type })
    const short = method.toLowerCase()
    t.match(await send(`${short}-strict`, '&fieldValidation=Strict'), { status: 400, body: { message: /strict decoding error: line 7: key "a" already set in map/ } }, type)
    const warned = await send(`${short}-warn`, '')
    t.match(warned, { status: 201, body: { data: { a: 'c' } } }, type)
    t.match(warned.headers['warning'], JSON.stringify(complaint).slice(1, -1), type)
    const ignored = await send(`${short}-ignore`, '&fieldValidation=Ignore')
    t.match(ignored, { status: 201, body: { data: { a: 'c' } } }, type)
    t.equal(ignored.headers['warning'], undefined, type)
  }
  const json = await ask(server, 'PATCH', `${configMaps}/json?fieldManager=me&fieldValidation=Strict`, '{"apiVersion":"v1","kind":"ConfigMap","data":{"a":"b","a":"c"}}', { 'content-type': 'application/apply-patch+yaml' })
  t.match(json, { status: 400, body: { message: /duplicate field "data.a"/ } }, 'JSON that is applied')
})

t.test('a list refuses what only watches have, and the root lists paths', async (t) => {
  const { server } = await startTestServer(t)
  t.match(await ask(server, 'GET', `${configMaps}?sendInitialEvents=true`), { status: 400, body: { message: 'sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list' } })
  const { paths } = (await ask(server, 'GET', '/')).body as { paths: string[] }
  for (const path of ['/api/v1', '/apis/apps', '/apis/apps/v1', '/readyz', '/openapi/v3']) t.ok(paths.includes(path), path)
})
