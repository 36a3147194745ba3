// Helm 4.1 and 3.8 as they are, against a server of our own: the chart of examples/ through its whole life.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { helmPath, run } from '../../test/support/cluster.ts'
import { ask, startTestServer } from './test-support/server.ts'
import type { ApiServer } from './index.ts'

const chart = new URL('../../examples/chart', import.meta.url).pathname
const deployments = '/apis/apps/v1/namespaces/default/deployments'

async function helmWith(t: Test, age: 'new' | 'old'): Promise<{ server: ApiServer; helm: (args: string) => Promise<string> }> {
  const { server } = await startTestServer(t)
  const home = t.testdir()
  writeFileSync(join(home, 'config'), server.adminKubeconfig())
  const helm = async (args: string): Promise<string> => {
    const { code, stdout, stderr } = await run(helmPath(age), args.split(' '), { timeoutMs: 30_000, env: { HOME: home, KUBECONFIG: join(home, 'config') } })
    if (code !== 0) throw new Error(`helm ${args} ended with ${code}: ${stderr}`)
    return stdout
  }
  return { server, helm }
}

const clients = [
  { version: '4.1, applying on the server', age: 'new', flags: ' --server-side=true', owner: 'helm Apply' },
  { version: '4.1, applying on the client', age: 'new', flags: ' --server-side=false', owner: 'helm Update' },
  { version: '3.8', age: 'old', flags: '', owner: 'helm Update' },
] as const

for (const { version, age, flags, owner } of clients) {
  t.test(`Helm ${version}: install, upgrade, rollback and uninstall`, async (t) => {
    const { server, helm } = await helmWith(t, age)
    const deployment = async (): Promise<{ replicas?: number; managers?: string[] }> => {
      const { body } = await ask(server, 'GET', `${deployments}/web`)
      const { managedFields = [] } = (body['metadata'] ?? {}) as { managedFields?: { manager: string; operation: string }[] }
      return { ...(body['spec'] as { replicas: number } | undefined), managers: managedFields.map(({ manager, operation }) => `${manager} ${operation}`) }
    }
    const text = async (): Promise<unknown> => ((await ask(server, 'GET', '/api/v1/namespaces/default/configmaps/web')).body['data'] as Record<string, unknown> | undefined)?.['index.html']
    t.match(await helm(`install web ${chart}${flags}`), /STATUS: deployed/)
    t.match(await deployment(), { replicas: 2, managers: [owner] })
    t.equal((await ask(server, 'GET', '/api/v1/namespaces/default/services/web')).status, 200)
    t.match(await helm(`upgrade web ${chart}${flags} --set replicas=3,text=changed,service=false`), /REVISION: 2/)
    t.match([(await deployment()).replicas, await text()], [3, 'changed'])
    t.equal((await ask(server, 'GET', '/api/v1/namespaces/default/services/web')).status, 404, 'what the chart has no longer is gone')
    t.match(await helm(`rollback web 1${flags}`), /Rollback was a success/)
    t.match([(await deployment()).replicas, await text()], [2, 'hello'])
    t.equal((await ask(server, 'GET', '/api/v1/namespaces/default/services/web')).status, 200)
    t.match(await helm('history web'), /1 +.*superseded[\s\S]*3 +.*deployed/)
    t.match(await helm('list'), /^web\s+default\s+3\s/m)
    t.match(await helm('uninstall web'), /release "web" uninstalled/)
    t.same(await deployment(), { managers: [] })
  })
}
