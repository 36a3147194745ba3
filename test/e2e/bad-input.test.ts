/** Wrong input of every kind: a sentence that says what is wrong and what to do, a status other than 0, and nothing lost. */
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { spawn } from 'node:child_process'
import t from 'tap'
import type { Test } from 'tap'
import { eventually, fairway, kubectlPath, root, run } from '../support/cluster.ts'

const folder = mkdtempSync(join(tmpdir(), 'fairway-bad-input-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

/** One sentence on stderr, and no stack. */
function sentence(t: Test, stderr: string, ...words: RegExp[]): void {
  t.notMatch(stderr, /^\s+at .*\(?.*:\d+:\d+\)?$/m, 'no stack trace')
  for (const word of words) t.match(stderr, word)
}

async function startApiServer(dataDir: string, extra: readonly string[] = []): Promise<{ kubeconfig: string; kill: (signal: NodeJS.Signals) => Promise<number | null> }> {
  const kubeconfig = join(folder, `admin-${Math.random().toString(36).slice(2)}.conf`)
  const child = spawn(join(root, 'fairway'), ['apiserver', '--data-dir', dataDir, '--store', 'sqlite', '--bind', '127.0.0.1', '--port', '0', '--write-kubeconfig', kubeconfig, ...extra], { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, FAIRWAY_SKIP_SETUP: '1' } })
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve))
  await eventually('the API server answers', async () => (await run(kubectlPath(), ['--kubeconfig', kubeconfig, 'get', '--raw', '/readyz'])).stdout === 'ok', 20_000)
  return {
    kubeconfig,
    kill: (signal) => {
      child.kill(signal)
      return closed
    },
  }
}

t.test('an unknown command and an unknown flag are refused', async (t) => {
  for (const args of [['fly'], ['up', '--wings'], ['up', '--nodes', 'many'], ['up', '--overlay', 'pigeon'], ['up', '--name', '../x'], ['node', 'explode', 'node-1']]) {
    const ran = await fairway(args)
    t.not(ran.code, 0, args.join(' '))
    sentence(t, ran.stderr, new RegExp(args.at(-1)!.replace(/[^a-z0-9]/g, '.')))
  }
})

t.test('commands for a cluster that is not there say so', async (t) => {
  for (const args of [['status', '--name', 'nowhere'], ['kubeconfig', '--name', 'nowhere'], ['node', 'stop', '--name', 'nowhere', 'node-1'], ['image', 'load', '--name', 'nowhere', 'x.tar']]) {
    const ran = await fairway(args)
    t.not(ran.code, 0, args.join(' '))
    sentence(t, ran.stderr, /nowhere/, /fairway up/)
  }
})

t.test('not root is told in one sentence', async (t) => {
  for (const command of [['status'], ['kubeconfig'], ['kubectl', 'get', 'pods'], ['down']]) {
    const refused = await run('setpriv', ['--reuid', '65534', '--clear-groups', 'env', '-u', 'NODE_OPTIONS', join(root, 'fairway'), ...command], { cwd: '/' })
    t.not(refused.code, 0, command.join(' '))
    t.match(refused.stderr, /^\S.*without root.*sudo.*\n$/, command.join(' '))
  }
  const ran = await run('setpriv', ['--reuid', '65534', '--clear-groups', 'env', '-u', 'NODE_OPTIONS', join(root, 'fairway'), 'up'], { cwd: '/' })
  t.not(ran.code, 0)
  t.match(ran.stderr, /root/)
  t.equal(ran.stderr.trim().split('\n').length, 1, ran.stderr)
})

t.test('a port in use is named', async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  const ran = await fairway(['apiserver', '--data-dir', join(folder, 'port'), '--store', 'memory', '--bind', '127.0.0.1', '--port', String(port), '--write-kubeconfig', join(folder, 'port.conf')], { timeoutMs: 20_000 })
  t.not(ran.code, 0)
  t.not(ran.code, 137)
  sentence(t, ran.stderr, new RegExp(String(port)), /in use/)
})

t.test('a wrong kubeconfig is named, whatever is wrong with it', async (t) => {
  const cases: Record<string, string> = {
    'empty.conf': '', 'not-yaml.conf': '{{{', 'no-cluster.conf': 'apiVersion: v1\nkind: Config\ncurrent-context: none\n',
  }
  for (const [name, content] of Object.entries(cases)) {
    writeFileSync(join(folder, name), content)
    for (const command of [['scheduler'], ['controller-manager'], ['proxy', '--node-name', 'n'], ['dns', '--listen', '127.0.0.1:0', '--zone', 'cluster.local']]) {
      const ran = await fairway([...command, '--kubeconfig', join(folder, name)], { timeoutMs: 20_000 })
      t.not(ran.code, 0, `${command[0]} with ${name}`)
      t.not(ran.code, 137, `${command[0]} with ${name} ends by itself`)
      sentence(t, ran.stderr, new RegExp(name.replace('.', '\\.')))
    }
  }
  const absent = await fairway(['scheduler', '--kubeconfig', join(folder, 'absent.conf')], { timeoutMs: 20_000 })
  t.not(absent.code, 0)
  sentence(t, absent.stderr, /absent\.conf/)
})

t.test('SIGTERM ends the API server cleanly, and the same directory gives the same credentials', async (t) => {
  const dataDir = join(folder, 'same')
  const first = await startApiServer(dataDir)
  const kubectl = (kubeconfig: string, args: string[]): ReturnType<typeof run> => run(kubectlPath(), ['--kubeconfig', kubeconfig, ...args])
  t.equal((await kubectl(first.kubeconfig, ['create', 'configmap', 'kept', '--from-literal=a=b'])).code, 0)
  t.equal(await first.kill('SIGTERM'), 0)
  const second = await startApiServer(dataDir)
  const certificates = (file: string): string[] => [...readFileSync(file, 'utf8').matchAll(/(certificate-authority-data|client-certificate-data|client-key-data): (\S+)/g)].map((match) => match[2]!)
  t.same(certificates(second.kubeconfig), certificates(first.kubeconfig))
  t.match((await kubectl(second.kubeconfig, ['get', 'configmap', 'kept', '-o', 'jsonpath={.data.a}'])).stdout, 'b')
  t.equal(await second.kill('SIGTERM'), 0)
})

t.test('strangers get nothing', async (t) => {
  const server = await startApiServer(join(folder, 'strangers'))
  const url = /server: (\S+)/.exec(readFileSync(server.kubeconfig, 'utf8'))![1]!
  const stranger = (extra: string[]): ReturnType<typeof run> => run(kubectlPath(), ['--kubeconfig', '/dev/null', '--server', url, '--insecure-skip-tls-verify', ...extra])
  t.match((await stranger(['get', 'pods', '--token', 'nonsense'])).stderr, /Unauthorized|must be logged in/)
  t.not((await stranger(['get', 'secrets', '-A', '--username', 'a', '--password', 'b'])).code, 0)
  t.equal(await server.kill('SIGTERM'), 0)
})

t.test('malformed manifests are refused with the path of the field', async (t) => {
  const server = await startApiServer(join(folder, 'manifests'))
  const apply = (input: string): ReturnType<typeof run> => run(kubectlPath(), ['--kubeconfig', server.kubeconfig, 'apply', '-f', '-'], { input })
  const pod = (spec: unknown, name = 'p'): string => JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec })
  const cases: [string, RegExp][] = [
    [pod({ containers: [{ name: 'a' }] }), /spec\.containers\[0\]\.image: Required value/],
    [pod({ containers: [] }), /spec\.containers: Required value/],
    [pod({ containers: [{ name: 'A_b', image: 'x' }] }), /spec\.containers\[0\]\.name: Invalid value/],
    [pod({ containers: [{ name: 'a', image: 'x', ports: [{ containerPort: 70_000 }] }] }), /spec\.containers\[0\]\.ports\[0\]\.containerPort: Invalid value/],
    [pod({ containers: [{ name: 'a', image: 'x' }] }, 'Not_A_Name'), /metadata\.name: Invalid value/],
    [pod({ containers: [{ name: 'a', image: 'x', imagge: 'y' }] }), /unknown field "spec\.containers\[0\]\.imagge"/],
    [pod({ containers: 'many' }), /containers|cannot unmarshal|array|json/i],
    [JSON.stringify({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'd' }, spec: { selector: { matchLabels: { a: 'b' } }, template: { metadata: { labels: { a: 'c' } }, spec: { containers: [{ name: 'a', image: 'x' }] } } } }), /selector.*does not match template/],
    [JSON.stringify({ apiVersion: 'v1', kind: 'Service', metadata: { name: 's' }, spec: { ports: [{ port: 0 }] } }), /spec\.ports\[0\]\.port: Invalid value/],
    ['apiVersion: v1\nkind: Unheard\nmetadata: {name: x}\n', /no matches for kind "Unheard"/],
    ['{ not json', /error/i],
  ]
  for (const [manifest, refusal] of cases) {
    const ran = await apply(manifest)
    t.not(ran.code, 0, manifest)
    t.match(ran.stderr, refusal)
  }
  t.equal(await server.kill('SIGTERM'), 0)
})

t.test('a full disk refuses writes with a sentence, loses nothing that was acknowledged, and recovers', async (t) => {
  const small = join(folder, 'small-disk')
  mkdirSync(small)
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'tmpfs', small])
  t.teardown(() => execFileSync('umount', ['-l', small]))
  const server = await startApiServer(join(small, 'data'))
  const kubectl = (args: string[], input = ''): ReturnType<typeof run> => run(kubectlPath(), ['--kubeconfig', server.kubeconfig, ...args], { input })
  const big = (name: string): string => JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { a: 'x'.repeat(400_000) } })
  const acknowledged: string[] = []
  let refusal = ''
  for (let n = 0; n < 30 && refusal === ''; n += 1) {
    const ran = await kubectl(['create', '-f', '-'], big(`c${n}`))
    if (ran.code === 0) acknowledged.push(`configmap/c${n}`)
    else refusal = ran.stderr
  }
  t.match(refusal, /full|space/i)
  const kept = (await kubectl(['get', 'configmaps', '-o', 'name'])).stdout.split('\n')
  for (const name of acknowledged) t.ok(kept.includes(name), name)
  execFileSync('mount', ['-o', 'remount,size=40m', small])
  t.equal((await kubectl(['create', '-f', '-'], big('after'))).code, 0, 'writes work again when there is room')
  t.equal(await server.kill('SIGTERM'), 0)
})

t.test('a corrupt, a newer and a taken state directory are told apart and left as they are', async (t) => {
  const dataDir = join(folder, 'state')
  const server = await startApiServer(dataDir)
  const second = await fairway(['apiserver', '--data-dir', dataDir, '--store', 'sqlite', '--bind', '127.0.0.1', '--port', '0', '--write-kubeconfig', join(folder, 'taken.conf')], { timeoutMs: 20_000 })
  t.not(second.code, 0)
  t.not(second.code, 137)
  sentence(t, second.stderr, /in use|another|locked/i)
  t.equal(await server.kill('SIGTERM'), 0)
  const database = execFileSync('find', [dataDir, '-name', '*.db', '-o', '-name', '*.sqlite'], { encoding: 'utf8' }).trim().split('\n')[0]!
  {
    using newer = new DatabaseSync(database)
    newer.exec('PRAGMA user_version = 99')
  }
  const fromTheFuture = await fairway(['apiserver', '--data-dir', dataDir, '--store', 'sqlite', '--bind', '127.0.0.1', '--port', '0', '--write-kubeconfig', join(folder, 'newer.conf')], { timeoutMs: 20_000 })
  t.not(fromTheFuture.code, 0)
  t.not(fromTheFuture.code, 137)
  sentence(t, fromTheFuture.stderr, /newer Fairway/)
  writeFileSync(database, Buffer.from('this is not a database, it is a letter to whoever reads it. '.repeat(100)))
  const corrupt = await fairway(['apiserver', '--data-dir', dataDir, '--store', 'sqlite', '--bind', '127.0.0.1', '--port', '0', '--write-kubeconfig', join(folder, 'corrupt.conf')], { timeoutMs: 20_000 })
  t.not(corrupt.code, 0)
  t.not(corrupt.code, 137)
  sentence(t, corrupt.stderr, /corrupt|not a database/i)
  t.match(readFileSync(database, 'utf8'), /^this is not a database/, 'nothing is written over what could not be read')
})

t.test('an engine that is missing or broken is named, and up takes back what it began', async (t) => {
  const bin = join(folder, 'bin')
  mkdirSync(bin)
  writeFileSync(join(bin, 'dockerd'), '#!/bin/sh\necho "failed to start daemon: this engine is broken" >&2\nexit 1\n')
  chmodSync(join(bin, 'dockerd'), 0o755)
  const ran = await fairway(['up', '--name', 'e2e-broken', '--nodes', '1'], { env: { PATH: `${bin}:${process.env['PATH'] ?? ''}`, KUBECONFIG: join(folder, 'broken.conf') }, timeoutMs: 120_000 })
  t.teardown(() => fairway(['down', '--name', 'e2e-broken'], { env: { KUBECONFIG: join(folder, 'broken.conf') } }))
  t.not(ran.code, 0)
  t.not(ran.code, 137)
  sentence(t, ran.stderr, /this engine is broken/)
})
