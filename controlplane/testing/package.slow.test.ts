// The package as somebody else installs it: below node_modules, where Node strips no types.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

const root = new URL('../..', import.meta.url).pathname
t.setTimeout(120_000)

t.test("what 'npm pack' makes gives tests an API server, and TypeScript its types", (t) => {
  const folder = t.testdir({ node_modules: { fairway: {} } })
  const env = { ...process.env, NODE_OPTIONS: '', NODE_TEST_CONTEXT: undefined }
  const run = (command: string, args: readonly string[], cwd = folder): string => {
    const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8', env })
    t.equal(status, 0, `${command} ${args.join(' ')}: ${stderr}${stdout}`)
    return stdout.trim()
  }
  const name = run('npm', ['pack', '--ignore-scripts=false', '--silent', '--pack-destination', folder], root).split('\n').at(-1) ?? ''
  run('tar', ['-xzf', name, '-C', 'node_modules/fairway', '--strip-components=1'])
  // What npm would fetch.
  for (const entry of readdirSync(join(root, 'node_modules')).filter((one) => !one.startsWith('.'))) symlinkSync(join(root, 'node_modules', entry), join(folder, 'node_modules', entry))
  mkdirSync(join(folder, 'test'))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  writeFileSync(join(folder, 'test', 'server.ts'), `
    import { get } from 'node:https'
    import { startApiServer } from 'fairway/testing'
    import type { TestApiServer } from 'fairway/testing'
    const server: TestApiServer = await startApiServer()
    get(server.url + '/readyz', { rejectUnauthorized: false, agent: false }, (response) => {
      console.log(response.statusCode, server.kubeconfig.includes('client-key-data'))
      response.resume().on('end', () => void server.stop())
    })
  `)
  t.equal(run(process.execPath, ['test/server.ts']), '200 true')
  // The test runner measures every program that is a Node, and cannot load this one.
  run('env', ['-u', 'NODE_OPTIONS', process.execPath, join(root, 'node_modules/.bin/tsc'), '--ignoreConfig', '--noEmit', '--module', 'nodenext', '--target', 'esnext', '--strict', '--types', 'node', 'test/server.ts'])
  t.end()
})
