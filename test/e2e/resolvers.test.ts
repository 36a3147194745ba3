/** The resolvers that programs in pods have: musl's, Debian's libc, and busybox's; with the names, families and sizes that they find hard. */
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t from 'tap'
import { root, upCluster } from '../support/cluster.ts'

const cluster = await upCluster(t, 'e2e-resolvers')
const folder = mkdtempSync(join(tmpdir(), 'fairway-resolvers-'))
t.teardown(() => rmSync(folder, { recursive: true }))

/** A root file system with busybox, Debian's getent and what it needs, and a program that is linked to musl. */
function makeImage(): string {
  const at = join(folder, 'root')
  for (const part of ['bin', 'etc']) mkdirSync(join(at, part), { recursive: true })
  copyFileSync('/bin/busybox', join(at, 'bin', 'busybox'))
  symlinkSync('busybox', join(at, 'bin', 'sh'))
  const libraries = execFileSync('ldd', ['/usr/bin/getent'], { encoding: 'utf8' }).match(/\/\S+/g) ?? []
  for (const file of ['/usr/bin/getent', ...libraries]) {
    mkdirSync(dirname(join(at, file)), { recursive: true })
    copyFileSync(file, join(at, file))
  }
  writeFileSync(join(at, 'etc', 'nsswitch.conf'), 'hosts: files dns\n')
  execFileSync('musl-gcc', ['-static', '-O1', '-o', join(at, 'bin', 'resolve-musl'), join(root, 'test/support/resolve.c')])
  execFileSync('tar', ['-cf', `${at}.tar`, '-C', at, '.'])
  return `${at}.tar`
}

const imported = await cluster.fairway(['image', 'import', makeImage(), '--name', 'resolvers:1', '--cluster', cluster.name])
if (imported.code !== 0) throw new Error(imported.stderr)

const service = (name: string, spec: object): object => ({ apiVersion: 'v1', kind: 'Service', metadata: { name }, spec })
const slice = (of: string, addressType: string, addresses: readonly string[]): object => ({
  apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', addressType, ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
  metadata: { name: `${of}-${addresses[0]?.replaceAll(/[.:]+/g, '-')}`, labels: { 'kubernetes.io/service-name': of } }, endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
})
const many = Array.from({ length: 300 }, (_, n) => `10.99.${n >> 8}.${n & 255}`)
const objects = [
  service('web', { clusterIP: '10.96.7.7', ports: [{ name: 'http', port: 80 }] }),
  service('six', { clusterIP: 'None', ports: [{ name: 'http', port: 80 }] }), slice('six', 'IPv6', ['fd00:99::6']),
  service('both', { clusterIP: 'None', ports: [{ name: 'http', port: 80 }] }), slice('both', 'IPv4', ['10.99.7.8']), slice('both', 'IPv6', ['fd00:99::7']),
  service('big', { clusterIP: 'None', ports: [{ name: 'http', port: 80 }] }), ...[0, 100, 200].map((from) => slice('big', 'IPv4', many.slice(from, from + 100))),
  { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'asker' }, spec: { containers: [{ name: 'asker', image: 'resolvers:1', command: ['/bin/busybox', 'sleep', '3600'] }] } },
]
await cluster.kubectl(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }) })
await cluster.kubectl(['wait', 'pod/asker', '--for=condition=Ready', '--timeout=60s'])

type Family = 'any' | '4' | '6'

const resolvers: Readonly<Record<string, (family: Family, name: string) => readonly string[]>> = {
  musl: (family, name) => ['/bin/resolve-musl', family, name],
  // The pod itself has no IPv6, for which getent otherwise leaves those addresses out.
  'Debian\'s libc': (family, name) => ['/usr/bin/getent', '--no-addrconfig', `ahosts${family === 'any' ? '' : `v${family}`}`, name],
}

/** The addresses that a resolver finds, and how long it took in the pod. */
async function resolved(command: readonly string[]): Promise<string[]> {
  const printed = await cluster.exec('asker', ['/bin/sh', '-c', `${command.join(' ')} || true`], 20_000)
  return [...new Set(printed.split('\n').map((line) => line.split(/\s+/)[0] ?? '').filter((word) => /^[0-9a-f]*[.:][0-9a-f.:]+$/.test(word)))].sort()
}

/** IPv4 written as IPv6 is how getent answers for a family that is missing. */
const real = (addresses: readonly string[]): string[] => addresses.filter((address) => !address.startsWith('::ffff:'))

for (const [who, command] of Object.entries(resolvers)) {
  t.test(`${who} finds short and long names through the search path`, async (t) => {
    for (const name of ['web', 'web.default', 'web.default.svc', 'web.default.svc.cluster.local', 'web.default.svc.cluster.local.']) t.same(await resolved(command('any', name)), ['10.96.7.7'], name)
    for (const name of ['nothing', 'nothing.default', 'web.nowhere']) t.same(await resolved(command('any', name)), [], name)
  })

  t.test(`${who} finds what there is when one family is missing, and does not wait for the other`, async (t) => {
    t.same(await resolved(command('4', 'web')), ['10.96.7.7'])
    t.same(real(await resolved(command('6', 'web'))), [])
    t.same(await resolved(command('any', 'six')), ['fd00:99::6'])
    t.same(await resolved(command('6', 'six')), ['fd00:99::6'])
    t.same(await resolved(command('4', 'six')), [])
    t.same(await resolved(command('any', 'both')), ['10.99.7.8', 'fd00:99::7'])
    const asked = command('any', 'web').join(' ')
    const seconds = await cluster.exec('asker', ['/bin/sh', '-c', `begun=$(busybox date +%s); for n in 1 2 3 4 5 6 7 8 9 10; do ${asked} >/dev/null; done; echo $(( $(busybox date +%s) - begun ))`])
    t.ok(Number(seconds) < 5, `ten names took ${seconds.trim()} s: a resolver that gets no answer waits 5 s for each`)
  })
}

t.test('of 300 endpoints Debian\'s libc finds all, by TCP, and musl 1.2.3, which asks by UDP alone and takes 48 at most, what fits into its answer', async (t) => {
  t.same(await resolved(['/usr/bin/getent', 'ahostsv4', 'big']), many.toSorted())
  const found = await resolved(['/bin/resolve-musl', '4', 'big'])
  t.ok(found.length >= 20 && found.every((address) => many.includes(address)), `${found.length} of them`)
})

t.test('busybox finds a service by its short name', async (t) => {
  t.match(await cluster.exec('asker', ['/bin/busybox', 'nslookup', 'web.default.svc.cluster.local']), /Address:?.*10\.96\.7\.7/)
  t.match(await cluster.exec('asker', ['/bin/sh', '-c', 'busybox ping -c 1 -W 1 web || true']), /PING web \(10\.96\.7\.7\)/)
})
