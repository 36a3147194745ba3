/** `fairway cni`: what it installs is run as an engine runs it, in a host of the test's own whose /var/lib is elsewhere. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { systemClock } from '../../api/clock.ts'
import { TestHost, execute } from '../../cni/test-support/host.ts'
import type { Finished } from '../../cni/test-support/host.ts'

if (process.getuid?.() !== 0) {
  t.plan(0, 'fairway cni: needs root')
  process.exit()
}

const fairway = new URL('../../fairway', import.meta.url).pathname

/** Arguments of a program that sees the host's network and a /var/lib of its own. */
function inside(host: TestHost, ...command: readonly string[]): string[] {
  return [`--net=${host.pathOf(undefined)}`, 'unshare', '--mount', 'sh', '-c', `mount --bind ${host.folder}/lib /var/lib && exec "$@"`, 'sh', ...command]
}

const run = (host: TestHost, command: readonly string[], env: Readonly<Record<string, string>> = {}, input = ''): Promise<Finished> => (
  execute('nsenter', inside(host, ...command), { input, env: { FAIRWAY_SKIP_SETUP: '1', ...env } }))

t.test('installed, served, and looked at: an engine attaches containers with and without the resident part', async (t) => {
  using host = new TestHost()
  const [bin, conf, socket] = ['opt', 'etc', 'cni-alone.sock'].map((name) => join(host.folder, name)) as [string, string, string]
  mkdirSync(join(host.folder, 'lib'))
  const installed = await run(host, [fairway, 'cni', 'install', '--bin-dir', bin, '--conf-dir', conf, '--socket', socket, '--pod-cidr', '10.99.0.0/24', '--pod-cidr', 'fd00:99::/64'])
  t.match(installed, { status: 0 }, installed.stderr)
  for (const name of ['fairway', 'fairway-ipam']) {
    t.match(installed.stdout, new RegExp(`Wrote .*/${name}\n`))
    t.equal(statSync(join(bin, name)).mode & 0o777, 0o755)
  }
  const list = JSON.parse(readFileSync(join(conf, '10-fairway.conflist'), 'utf8')) as { cniVersion: string; cniVersions: string[]; name: string; plugins: Record<string, unknown>[] }
  t.match(list, { cniVersion: '1.0.0', cniVersions: ['1.0.0', '1.1.0'], plugins: [{ ipMasq: true }] })
  const config = JSON.stringify({ ...list.plugins[0], capabilities: undefined, cniVersion: list.cniVersion, name: list.name })
  const call = (command: string, name: string): Promise<Finished> => (
    run(host, [join(bin, 'fairway')], { CNI_COMMAND: command, CNI_CONTAINERID: name, CNI_NETNS: host.podPath(name), CNI_IFNAME: 'eth0', CNI_ARGS: `K8S_POD_NAMESPACE=default;K8S_POD_NAME=${name}`, CNI_PATH: bin }, config))
  for (const name of ['a', 'b']) host.addPod(name)
  t.match(await call('ADD', 'a'), { status: 0, stdout: /10\.99\.0\.2\/32.*fd00:99::2\/128/ }, 'without the resident part')

  const served = spawn('nsenter', inside(host, fairway, 'cni', 'serve', '--socket', socket), { stdio: 'ignore', env: { ...process.env, FAIRWAY_SKIP_SETUP: '1' } })
  const ended = once(served, 'exit')
  for (let waited = 0; waited < 100 && !existsSync(socket); waited++) await systemClock.sleep(50)
  t.match(await call('ADD', 'b'), { status: 0, stdout: /10\.99\.0\.3\/32/ }, 'with it')
  t.match(await host.run('a', 'ping', '-c', '1', '-W', '2', '10.99.0.3'), { status: 0 })
  const status = await run(host, [fairway, 'cni', 'status'])
  t.match(status.stdout, /network fairway: 4 addresses in use/)
  t.match((await run(host, [fairway, 'cni', 'status', '--conf-dir', conf])).stdout, /  10\.99\.0\.0\/24  2 used, 251 free\n/)
  t.match(status.stdout, /10\.99\.0\.2 +default\/a +a +eth0\n/)
  for (const name of ['a', 'b']) t.match(await call('DEL', name), { status: 0, stdout: '' })
  t.match((await run(host, [fairway, 'cni', 'status'])).stdout, /0 addresses in use/)
  served.kill()
  t.strictSame(await ended, [0, null], 'it ends as it is told')
  t.notOk(existsSync(socket), 'and takes its socket with it')
})

t.test('what cannot be installed is refused with a sentence', async (t) => {
  using host = new TestHost()
  mkdirSync(join(host.folder, 'lib'))
  t.match(await run(host, [fairway, 'cni', 'install', '--bin-dir', join(host.folder, 'host', 'bin')]), { status: 1, stderr: /Cannot write plugin .*host\/bin\/fairway: / })
  t.match(await run(host, [fairway, 'cni', 'install', '--bin-dir', join(host.folder, 'opt'), '--conf-dir', join(host.folder, 'etc'), '--pod-cidr', '10.0.0.0/40']), { status: 2, stderr: /10\.0\.0\.0\/40|range/ })
  // where nothing can be made: at once, and in one sentence
  t.match(await run(host, ['timeout', '20', fairway, 'cni', 'install', '--bin-dir', '/proc/x']), { status: 1, stdout: '', stderr: /^Cannot write plugin \/proc\/x\/fairway: ENOENT[^\n]*\n$/ })
  t.match(await run(host, ['timeout', '20', fairway, 'cni', 'install', '--bin-dir', join(host.folder, 'opt'), '--conf-dir', '/proc/x']), { status: 1, stderr: /^Cannot write configuration \/proc\/x\/10-fairway\.conflist: ENOENT[^\n]*\n$/ })
  t.match(await run(host, ['timeout', '20', fairway, 'cni', 'install', '--bin-dir', '']), { status: 1, stderr: /--bin-dir names no folder/ })
})

t.test('what is no socket is not replaced by one, and a place where there can be none is refused with a sentence', async (t) => {
  using host = new TestHost()
  mkdirSync(join(host.folder, 'lib'))
  const file = join(host.folder, 'precious')
  writeFileSync(file, 'precious')
  const serve = (socket: string): Promise<Finished> => run(host, ['timeout', '20', fairway, 'cni', 'serve', '--socket', socket])
  t.match(await serve(file), { status: 1, stderr: /^Cannot serve CNI on .*precious: .*no socket\n$/ })
  t.equal(readFileSync(file, 'utf8'), 'precious')
  t.match(await serve(host.folder), { status: 1, stderr: /^Cannot serve CNI on .*no socket\n$/ })
  t.match(await serve('/proc/x/cni.sock'), { status: 1, stderr: /^Cannot serve CNI on \/proc\/x\/cni\.sock: ENOENT[^\n]*\n$/ })
  t.match(await serve(join(host.folder, 'x'.repeat(120))), { status: 1, stderr: /^Cannot use socket [^\n]*longer than 107 bytes\n$/ })
})

t.test('executables look for the resident part where it was meant to be, from whatever folder they are run', async (t) => {
  using host = new TestHost()
  mkdirSync(join(host.folder, 'lib'))
  t.match(await run(host, ['sh', '-c', `cd ${host.folder} && ${fairway} cni install --bin-dir opt --socket cni.sock`]), { status: 0, stdout: `Wrote ${host.folder}/opt/fairway\n` })
  t.ok(readFileSync(join(host.folder, 'opt', 'fairway')).includes(join(host.folder, 'cni.sock')))
})
