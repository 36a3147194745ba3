// The objects of flow control: those that every cluster has, and the condition that says whether a schema leads anywhere.
import t from 'tap'
import { systemClock } from '../../../api/clock.ts'
import { ask, startTestServer } from '../test-support/server.ts'

type Json = Record<string, unknown>

const group = '/apis/flowcontrol.apiserver.k8s.io/v1'

t.test('the mandatory objects are there, and a schema says whether its priority level is', async (t) => {
  const { server } = await startTestServer(t)
  t.match((await ask(server, 'GET', `${group}/prioritylevelconfigurations`)).body, { items: [{ metadata: { name: 'catch-all' }, spec: { type: 'Limited', limited: { nominalConcurrencyShares: 5, limitResponse: { type: 'Reject' } } } }, { metadata: { name: 'exempt' }, spec: { type: 'Exempt' } }] })
  t.match((await ask(server, 'GET', `${group}/flowschemas`)).body, { items: [{ metadata: { name: 'catch-all' }, spec: { matchingPrecedence: 10_000 } }, { metadata: { name: 'exempt' }, spec: { matchingPrecedence: 1 } }] })
  const dangling = async (name: string): Promise<unknown> => (((await ask(server, 'GET', `${group}/flowschemas/${name}`)).body['status'] as Json | undefined)?.['conditions'] as Json[] | undefined)?.[0]?.['status']
  const until = async (name: string, status: string): Promise<void> => {
    while ((await dangling(name)) !== status) await systemClock.sleep(5)
  }
  await until('catch-all', 'False')
  t.match(await ask(server, 'POST', `${group}/flowschemas`, { metadata: { name: 'mine' }, spec: { priorityLevelConfiguration: { name: 'mine' } } }), { status: 201 })
  await until('mine', 'True')
  await ask(server, 'POST', `${group}/prioritylevelconfigurations`, { metadata: { name: 'mine' }, spec: { type: 'Limited', limited: { limitResponse: { type: 'Reject' } } } })
  await until('mine', 'False')
  const table = await ask(server, 'GET', `${group}/flowschemas`, undefined, { accept: 'application/json;as=Table;g=meta.k8s.io;v=v1' })
  t.match((table.body['rows'] as { cells: unknown[] }[]).map(({ cells }) => [cells[0], cells[1], cells.at(-1)]), [['catch-all', 'catch-all', 'False'], ['exempt', 'exempt', 'False'], ['mine', 'mine', 'False']])
})
