import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { kubeconfigObject, loadKubeconfig } from '../../api/kubeconfig.ts'
import { addUserContext, removeUserContext, userKubeconfigFile } from './user-kubeconfig.ts'

const folder = mkdtempSync(join(tmpdir(), 'fairway-kubeconfig-'))
t.teardown(() => rmSync(folder, { recursive: true }))
const of = (cluster: string, server = 'https://10.90.0.10:6443'): string =>
  JSON.stringify(kubeconfigObject({ clusterName: `fairway-${cluster}`, user: `fairway-${cluster}`, config: { server, token: 'secret' } }))

t.test("a cluster's context is added beside what is there, becomes the current one, and goes again", async (t) => {
  const file = join(folder, 'mine')
  const mine = 'apiVersion: v1\nkind: Config\ncurrent-context: work\nclusters:\n- name: work\n  cluster: {server: https://work.example}\nusers: []\ncontexts:\n- name: work\n  context: {cluster: work}\nextensions: kept\n'
  writeFileSync(file, mine, { mode: 0o640 })
  await addUserContext(of('a'), file)
  await addUserContext(of('b'), file)
  t.equal(loadKubeconfig(file).server, 'https://10.90.0.10:6443')
  t.equal(loadKubeconfig(file, 'work').server, 'https://work.example')
  t.equal(statSync(file).mode & 0o777, 0o640, 'an existing file keeps its mode')
  await addUserContext(of('b', 'https://10.90.7.10:6443'), file)
  t.equal(loadKubeconfig(file, 'fairway-b').server, 'https://10.90.7.10:6443', 'a second time replaces')
  await removeUserContext('a', file)
  t.throws(() => loadKubeconfig(file, 'fairway-a'))
  t.equal(loadKubeconfig(file).server, 'https://10.90.7.10:6443', "another cluster's context stays the current one")
  await removeUserContext('b', file)
  t.match(readFileSync(file, 'utf8'), /extensions: kept/)
  t.match(readFileSync(file, 'utf8'), /current-context: ''/)
})

t.test('a new file is for its owner only, and goes with the last of our contexts', async (t) => {
  const file = join(folder, 'new', 'config')
  await addUserContext(of('a'), file)
  t.equal(statSync(file).mode & 0o777, 0o600)
  await removeUserContext('a', file)
  t.notOk(existsSync(file))
  await removeUserContext('a', file)
})

t.test('a link to the file stays a link', async (t) => {
  mkdirSync(join(folder, 'real'))
  writeFileSync(join(folder, 'real', 'config'), '')
  symlinkSync(join(folder, 'real', 'config'), join(folder, 'link'))
  await addUserContext(of('a'), join(folder, 'link'))
  t.match(readFileSync(join(folder, 'real', 'config'), 'utf8'), /fairway-a/)
})

t.test('many at once lose nothing, and a lock that its holder left behind is taken over', async (t) => {
  const file = join(folder, 'busy')
  writeFileSync(`${file}.lock`, '')
  utimesSync(`${file}.lock`, 1, 1)
  const names = Array.from({ length: 8 }, (_, n) => `c${n}`)
  await Promise.all(names.map((name) => addUserContext(of(name), file)))
  for (const name of names) t.ok(loadKubeconfig(file, `fairway-${name}`))
  t.same(readdirSync(folder).filter((name) => /busy\./.test(name)), [], 'no lock and no part of a file is left')
})

t.test('a file that is no kubeconfig is refused by name and left alone', async (t) => {
  const file = join(folder, 'letter')
  writeFileSync(file, '- just\n- a list\n')
  await t.rejects(addUserContext(of('a'), file), /Cannot change kubeconfig .*letter: it is not a YAML mapping/)
  t.equal(readFileSync(file, 'utf8'), '- just\n- a list\n')
})

t.test('the file is the one that kubectl writes to', (t) => {
  t.equal(userKubeconfigFile({ KUBECONFIG: ':/a:/b', HOME: '/h' }), '/a')
  t.equal(userKubeconfigFile({ HOME: '/h' }), '/h/.kube/config')
  t.end()
})
