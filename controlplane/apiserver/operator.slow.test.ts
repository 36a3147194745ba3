// The operator of examples/ against a server of our own, with kubectl as its user.
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { systemClock } from '../../api/clock.ts'
import { kubectlPath, run } from '../../test/support/cluster.ts'
import { startTestServer } from './test-support/server.ts'

const example = (file: string): string => new URL(`../../examples/operator/${file}`, import.meta.url).pathname

t.test('a custom resource is defined, explained, brought about by its operator, scaled and deleted', async (t) => {
  const { server } = await startTestServer(t)
  const home = t.testdir()
  const env = { HOME: home, KUBECONFIG: join(home, 'config') }
  writeFileSync(env.KUBECONFIG, server.adminKubeconfig())
  const kubectl = async (args: string): Promise<string> => {
    const { code, stdout, stderr } = await run(kubectlPath(), args.split(' '), { timeoutMs: 20_000, env })
    return code === 0 ? stdout : `failed: ${stderr}`
  }
  const until = async (args: string, pattern: RegExp): Promise<void> => {
    let said = await kubectl(args)
    while (!pattern.test(said)) {
      await systemClock.sleep(20)
      said = await kubectl(args)
    }
    t.pass(said)
  }
  t.equal(await kubectl(`apply -f ${example('crd.yaml')}`), 'customresourcedefinition.apiextensions.k8s.io/websites.example.com created\n')
  t.match(await kubectl('wait --for=condition=Established crd/websites.example.com --timeout=10s'), /condition met/)
  t.match(await kubectl('explain website.spec.replicas'), /FIELD: replicas <integer>/)
  t.match(await kubectl('api-resources --api-group=example.com'), /websites +site +example\.com\/v1 +true +Website/)
  const operator = spawn(process.execPath, [example('operator.ts')], { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, ...env, NODE_OPTIONS: '' } })
  const ended = new Promise((resolve) => operator.once('close', resolve))
  t.teardown(async () => {
    operator.kill()
    await ended
  })
  t.equal(await kubectl(`apply -f ${example('website.yaml')}`), 'website.example.com/hello created\n')
  await until('get website hello', /^NAME +REPLICAS +STATE +AGE\nhello +2 +Deployed +\d+s\n$/)
  t.equal(await kubectl('get deploy,cm hello -o jsonpath={.items[0].spec.replicas}/{.items[1].data.index\\.html}'), '2/hello, world')
  t.equal(await kubectl('scale website hello --replicas=3'), 'website.example.com/hello scaled\n')
  await until('get deploy hello -o jsonpath={.spec.replicas}', /^3$/)
  t.match(await kubectl('patch website hello --type=merge -p {"spec":{"replicas":11}}'), /spec\.replicas in body should be less than or equal to 10/)
  t.equal(await kubectl(`apply --server-side --force-conflicts -f ${example('website.yaml')}`), 'website.example.com/hello serverside-applied\n')
  t.equal(await kubectl('delete site hello'), 'website.example.com "hello" deleted from default namespace\n')
  t.match(await kubectl('delete crd websites.example.com'), /deleted/)
  t.match(await kubectl('get websites'), /NotFound|doesn't have a resource type "websites"/)
})
