import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { loadKubeconfig, parseKubeconfig, renderKubeconfig } from './kubeconfig.ts'

t.test('what is rendered is read back', async (t) => {
  const config = { server: 'https://10.0.0.1:6443', ca: 'CA', clientCert: 'CERT', clientKey: 'KEY', namespace: 'web' }
  t.same(parseKubeconfig(renderKubeconfig({ clusterName: 'fairway-dev', config }), { directory: '/' }), config)
})

t.test('files that a kubeconfig names are relative to it, and a token file is read anew', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'kubeconfig-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  writeFileSync(join(directory, 'token'), 'one\n')
  writeFileSync(join(directory, 'ca.pem'), 'CA')
  const file = join(directory, 'config')
  writeFileSync(file, JSON.stringify({
    'current-context': 'c', contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
    clusters: [{ name: 'k', cluster: { server: 'https://h', 'certificate-authority': 'ca.pem' } }], users: [{ name: 'u', user: { tokenFile: 'token' } }],
  }))
  const { ca, token } = loadKubeconfig(file)
  t.equal(ca, 'CA')
  t.equal((token as () => string)(), 'one')
  writeFileSync(join(directory, 'token'), 'two\n')
  t.equal((token as () => string)(), 'two')
})

t.test('what is wrong with a kubeconfig is said', async (t) => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['[]', /not a YAML mapping/],
    ['{}', /no current-context/],
    ['{current-context: a}', /no context "a"/],
    ['{current-context: a, contexts: [{name: a, context: {cluster: k}}]}', /no cluster "k"/],
    ['{current-context: a, contexts: [{name: a, context: {cluster: k}}], clusters: [{name: k, cluster: {server: "http://h"}}]}', /is not https/],
  ]
  for (const [text, message] of cases) t.throws(() => parseKubeconfig(text, { directory: '/' }), { message })
  t.throws(() => loadKubeconfig('/nowhere/config'), { message: 'Cannot use kubeconfig /nowhere/config: the file does not exist' })
})
