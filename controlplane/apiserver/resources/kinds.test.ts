// Every kind over the real request path: created, shown, put again as it was, deleted.
import t from 'tap'
import { systemClock } from '../../../api/clock.ts'
import { verbsOf } from '../registry.ts'
import type { ApiServer } from '../index.ts'
import { ask, startTestServer } from '../test-support/server.ts'
import type { Answer } from '../test-support/server.ts'
import { builtinResources } from './index.ts'
import { collection, leastOf } from './test-support/least.ts'

/** The server says at once of these whether they can be used. */
const conditioned = new Set(['flowschemas', 'servicecidrs'])

async function withConditions(server: ApiServer, path: string): Promise<Answer> {
  for (;;) {
    const answer = await ask(server, 'GET', path)
    if (answer.text.includes('"conditions"')) return answer
    await systemClock.sleep(5)
  }
}

t.test('every kind is created, shown, put again unchanged, and deleted', async (t) => {
  const { server } = await startTestServer(t)
  for (const row of builtinResources()) {
    // Definitions are written by the server too: see custom.test.ts.
    if (!verbsOf(row).includes('update') || row.plural === 'customresourcedefinitions') continue
    const [path, strict] = [collection(row), 'fieldValidation=Strict']
    const { name } = leastOf(row).metadata ?? { name: 'kinds-test' }
    const made = await ask(server, 'POST', `${path}?${strict}`, { metadata: { name }, ...leastOf(row) })
    t.equal(made.status, 201, `${row.plural}: ${made.text.slice(0, 300)}`)
    const created = conditioned.has(row.plural) ? await withConditions(server, `${path}/${name}`) : made
    const again = await ask(server, 'PUT', `${path}/${name}?${strict}`, created.body)
    t.equal(again.status, 200, `${row.plural}: ${again.text.slice(0, 300)}`)
    t.same(again.body['spec'], created.body['spec'], `${row.plural}: what was taken is taken again as it is`)
    t.same(again.body['metadata'], created.body['metadata'], `${row.plural}: nothing was written`)
    const table = await ask(server, 'GET', path, undefined, { accept: 'application/json;as=Table;g=meta.k8s.io;v=v1' })
    t.match(table.body, { kind: 'Table', columnDefinitions: row.columns.map(({ name }) => ({ name })) }, row.plural)
    t.ok((await ask(server, 'DELETE', `${path}/${name}`)).status < 300, row.plural)
  }
})

t.test('a scale is read and written where the table says', async (t) => {
  const { server } = await startTestServer(t)
  for (const row of builtinResources()) {
    if (row.scale === undefined) continue
    await ask(server, 'POST', collection(row), { metadata: { name: 'x' }, ...leastOf(row) })
    t.match((await ask(server, 'GET', `${collection(row)}/x/scale`)).body, { kind: 'Scale', spec: { replicas: 1 }, status: { replicas: 0, selector: 'a=b' } }, row.plural)
    await ask(server, 'PATCH', `${collection(row)}/x/scale`, { spec: { replicas: 3 } }, { 'content-type': 'application/merge-patch+json' })
    t.match((await ask(server, 'GET', `${collection(row)}/x`)).body, { spec: { replicas: 3 } }, row.plural)
  }
})

t.test('many services at once get different addresses and ports, and give them back', async (t) => {
  const { server } = await startTestServer(t, { serviceNodePortRange: '30000-30063' })
  const path = '/api/v1/namespaces/default/services'
  const make = (n: number): ReturnType<typeof ask> => ask(server, 'POST', path, { metadata: { name: `s${n}` }, spec: { type: 'NodePort', ports: [{ port: 80 }] } })
  const numbers = Array.from({ length: 64 }, (_, n) => n)
  type Spec = { clusterIP: string; ports: { nodePort: number }[] }
  for (let round = 0; round < 2; round++) {
    const specs = (await Promise.all(numbers.map(make))).map(({ body }) => body['spec'] as Spec)
    t.equal(new Set(specs.map(({ clusterIP }) => clusterIP)).size, 64)
    t.equal(new Set(specs.map(({ ports }) => ports[0]?.nodePort)).size, 64)
    t.match(await make(64), { status: 500, body: { message: /failed to allocate a nodePort: range is full/ } })
    await Promise.all(numbers.map((n) => ask(server, 'DELETE', `${path}/s${n}`)))
  }
})
