// One of two API servers is cut off from etcd for longer than etcd remembers: it tells nothing old, and it finds its way back.
import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import t from 'tap'
import { openEtcdStore } from '../store/etcd/index.ts'
import { hasEtcd, startEtcd } from '../store/test-support/etcd.ts'
import { admin, ask, startTestServer } from './test-support/server.ts'

const maps = '/api/v1/namespaces/default/configmaps'
const configMap = (name: string, value = ''): object => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { value } })

/** A cable to etcd that can be pulled. */
async function cable(port: number) {
  const sockets = new Set<Socket>()
  let isPlugged = true
  const server = createServer((socket) => {
    if (!isPlugged) return void socket.destroy()
    const onward = connect(port, '127.0.0.1')
    for (const [one, other] of [[socket, onward], [onward, socket]] as const) {
      sockets.add(one)
      one.on('error', () => other.destroy()).on('close', () => (sockets.delete(one), other.destroy()))
      one.pipe(other)
    }
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    pull: () => {
      isPlugged = false
      for (const socket of sockets) socket.destroy()
    },
    plug: () => void (isPlugged = true),
    close: () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 20_000; !(await isSo()); await new Promise((resolve) => void setTimeout(resolve, 50))) {
    if (Date.now() > end) throw new Error('Cannot go on: what was waited for did not happen')
  }
}

t.test('a server that etcd has left behind', { skip: !hasEtcd && 'needs etcd (Debian: etcd-server)', timeout: 100_000 }, async (t) => {
  const [member] = await startEtcd(t.testdir({}))
  if (member === undefined) throw new Error('Cannot test: there is no etcd')
  t.teardown(() => member.kill())
  const cord = await cable(Number(new URL(member.url).port))
  t.teardown(() => cord.close())
  const dataDir = `${t.testdirName}/server`
  const well = await startTestServer(t, { store: openEtcdStore({ endpoints: [member.url] }), dataDir })
  const cut = await startTestServer(t, { store: openEtcdStore({ endpoints: [cord.url] }), dataDir })
  for (const name of ['stays', 'changes', 'goes']) await ask(well.server, 'POST', maps, configMap(name))
  const before = await ask(cut.server, 'GET', maps)
  const { resourceVersion } = before.body['metadata'] as { resourceVersion: string }
  const watch = await cut.server.transport(admin)({ method: 'GET', path: `${maps}?watch=1&resourceVersion=${resourceVersion}` })
  const told: string[] = []
  const ended = (async () => {
    for await (const piece of watch.body) told.push(Buffer.from(piece).toString())
  })()

  cord.pull()
  await ask(well.server, 'PUT', `${maps}/changes`, configMap('changes', 'new'))
  await ask(well.server, 'DELETE', `${maps}/goes`)
  const asked = ask(cut.server, 'GET', `${maps}/changes`)
  const written = ask(cut.server, 'POST', maps, configMap('from-the-cut-off'))
  await t.test('says that it is not ready, and answers nothing old', async (t) => {
    await until(async () => (await ask(cut.server, 'GET', '/readyz')).status === 503)
    t.equal((await ask(well.server, 'GET', '/readyz')).status, 200)
    t.match((await asked).body, { kind: 'Status', code: 500, message: /etcd/ }, 'a consistent read fails rather than to be old')
    t.match((await written).body, { kind: 'Status', code: 500, message: /etcd/ })
    t.match((await ask(cut.server, 'GET', `${maps}/stays?resourceVersion=0`)).body, { metadata: { name: 'stays' } }, 'who does not mind gets what was')
  })

  await ask(well.server, 'POST', maps, configMap('comes'))
  await well.store.compact(await well.store.currentRevision())
  cord.plug()
  await t.test('knows what is, and sends its watchers to list anew', async (t) => {
    await until(async () => (await ask(cut.server, 'GET', '/readyz')).status === 200)
    const names = async (server: typeof cut.server): Promise<unknown> => ((await ask(server, 'GET', maps)).body['items'] as { metadata: { name: string }; data: unknown }[]).map(({ metadata, data }) => [metadata.name, data])
    await until(async () => (await ask(cut.server, 'GET', `${maps}/comes`)).status === 200)
    t.same(await names(cut.server), await names(well.server))
    await ended
    t.same(told, [], 'the watch ends without a word of what it would have to skip')
    t.match((await ask(cut.server, 'GET', `${maps}?watch=1&timeoutSeconds=1&resourceVersion=${resourceVersion}`)).text, /"code":410/)
    const fresh = (await ask(cut.server, 'GET', maps)).body['metadata'] as { resourceVersion: string }
    setTimeout(() => void ask(well.server, 'POST', maps, configMap('later')), 100)
    t.match((await ask(cut.server, 'GET', `${maps}?watch=1&timeoutSeconds=2&resourceVersion=${fresh.resourceVersion}`)).text, /"ADDED".*"later"/, 'and watches go on from there')
  })
})
