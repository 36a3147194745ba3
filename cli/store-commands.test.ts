import { spawnSync } from 'node:child_process'
import { readFileSync, readdirSync, statSync } from 'node:fs'
import t from 'tap'
import { openSqliteStore } from '../controlplane/store/index.ts'

const fairway = (...words: string[]) => spawnSync(process.execPath, [new URL('main.ts', import.meta.url).pathname, 'store', ...words], { encoding: 'utf8' })

t.test('a store is exported to a file and imported from it, and what cannot be is a sentence', async (t) => {
  const folder = t.testdir({ from: {}, to: {} })
  const store = openSqliteStore(`${folder}/from/store`)
  await store.create('/registry/core/configmaps/default/a', Buffer.from('{"kind":"ConfigMap"}'))
  const file = `${folder}/export`
  const taken = fairway('export', file, '--data-dir', `${folder}/from`)
  t.equal(taken.status, 1)
  t.match(taken.stderr, /^Cannot open the store .*: another process is using it; stop that one first\n$/)
  await store.close()
  t.match(fairway('export', file, '--data-dir', `${folder}/from`), { status: 0, stderr: `exported 1 objects to ${file}\n` })
  t.match(readFileSync(file, 'utf8'), /^fairway store 1 revision 2\n\/registry\/core\/configmaps\/default\/a\t\{"kind":"ConfigMap"\}\nend 1\n$/)
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.match(fairway('export', `${folder}/to`, '--data-dir', `${folder}/from`), { status: 1, stderr: /^Cannot export to .*\/to: E/ })
  t.match(fairway('export', `${folder}/no/where`, '--data-dir', `${folder}/from`), { status: 1, stderr: /^Cannot export to .*\/no\/where: ENOENT/ })
  t.same(readdirSync(folder).sort(), ['export', 'from', 'to'], 'nothing half-written is left')
  t.match(fairway('import', file, '--data-dir', `${folder}/to`), { status: 0, stderr: `imported 1 objects from ${file}\n` })
  t.match(fairway('import', file, '--data-dir', `${folder}/to`), { status: 1, stderr: /^Cannot import: the store is not empty/ })
  t.equal(fairway('defragment', '--data-dir', `${folder}/to`).status, 0)
  const back = openSqliteStore(`${folder}/to/store`)
  t.equal(Buffer.from((await back.get('/registry/core/configmaps/default/a'))?.value ?? []).toString(), '{"kind":"ConfigMap"}')
  await back.close()
})
