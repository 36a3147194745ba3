import { existsSync, mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Pod, Volume } from '../../api/types.ts'
import { writeAtomically } from './atomic-directory.ts'
import { ensureHostPath } from './host-path.ts'
import { checkPath } from './payload.ts'
import type { PayloadSources } from './payload.ts'
import { PodDirectories } from './pod-directory.ts'
import { resolveSubPath } from './sub-path.ts'
import { setUpVolumes, VolumeError } from './volumes.ts'

const directory = mkdtempSync(join(tmpdir(), 'fairway-volumes-'))
t.teardown(() => rmSync(directory, { recursive: true }))
const directories = new PodDirectories(directory)

function sources(volumes: Volume[], data: Record<string, string> = { a: '1', b: '2' }): PayloadSources {
  const pod: Pod = { metadata: { name: 'web', namespace: 'default', uid: 'u', labels: { app: 'web' } }, spec: { containers: [{ name: 'main', resources: { limits: { cpu: '2' } } }], volumes } }
  return {
    pod, nodeName: 'node-1', hostIPs: [], podIPs: [], allocatable: {},
    configMap: (name) => (name === 'settings' ? { metadata: {}, data, binaryData: { bin: 'AAE=' } } : undefined),
    secret: (name) => (name === 'keys' ? { metadata: {}, data: { password: 'c2VzYW1l' } } : undefined),
    token: async ({ audience, expirationSeconds }) => `token ${audience ?? ''} ${expirationSeconds}`,
  }
}

const read = (path: string | undefined, name: string): string => readFileSync(join(path ?? '', name), 'utf8')

t.test('volumes of every kind hold what they should', async (t) => {
  const paths = await setUpVolumes(sources([
    { name: 'whole', configMap: { name: 'settings' } }, { name: 'chosen', configMap: { name: 'settings', defaultMode: 0o400, items: [{ key: 'a', path: 'deep/er', mode: 0o600 }] } },
    { name: 'hidden', secret: { secretName: 'keys' } }, { name: 'maybe', secret: { secretName: 'absent', optional: true } }, { name: 'scratch', emptyDir: {} },
    { name: 'down', downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }, { path: 'cpu', resourceFieldRef: { containerName: 'main', resource: 'limits.cpu' } }] } },
    { name: 'all', projected: { sources: [{ serviceAccountToken: { path: 'token', audience: 'vault' } }, { configMap: { name: 'settings', items: [{ key: 'b', path: 'b' }] } }, { secret: { name: 'keys' } }] } },
  ]), directories)
  const whole = paths.get('whole') ?? ''
  t.same([read(whole, 'a'), read(whole, 'b'), statSync(join(whole, 'a')).mode & 0o777], ['1', '2', 0o644])
  t.same(readFileSync(join(whole, 'bin')), Buffer.from([0, 1]))
  t.same([read(paths.get('chosen'), 'deep/er'), statSync(join(paths.get('chosen') ?? '', 'deep/er')).mode & 0o777, existsSync(join(paths.get('chosen') ?? '', 'b'))], ['1', 0o600, false])
  t.same([read(paths.get('hidden'), 'password'), existsSync(paths.get('maybe') ?? '')], ['sesame', true])
  t.match(paths.get('hidden'), /\/memory\/u\/secret\/hidden$/, 'what is secret reaches no disk')
  t.equal(statSync(paths.get('scratch') ?? '').mode & 0o777, 0o777)
  t.same([read(paths.get('down'), 'labels'), read(paths.get('down'), 'cpu')], ['app="web"', '2'])
  t.same([read(paths.get('all'), 'token'), read(paths.get('all'), 'b'), read(paths.get('all'), 'password')], ['token vault 3600', '2', 'sesame'])
  await directories.remove('u')
  t.same(directories.uids(), [])
})

t.test('files change all at once, and only when they differ', (t) => {
  const at = join(directory, 'atomic')
  const payload = (files: Record<string, string>): Map<string, { data: Buffer; mode: number }> => new Map(Object.entries(files).map(([name, text]) => [name, { data: Buffer.from(text), mode: 0o644 }]))
  t.equal(writeAtomically(at, payload({ a: '1', b: '2' }), {}), true)
  const version = readlinkSync(join(at, '..data'))
  t.equal(writeAtomically(at, payload({ a: '1', b: '2' }), {}), false)
  t.equal(readlinkSync(join(at, '..data')), version)
  t.equal(writeAtomically(at, payload({ a: '3', 'c/d': '4' }), {}), true)
  t.same([read(at, 'a'), read(at, 'c/d'), existsSync(join(at, 'b')), existsSync(join(at, version))], ['3', '4', false, false])
  t.end()
})

t.test('what is missing is said with the volume that needs it', async (t) => {
  const fails = (volume: Volume): Promise<unknown> => setUpVolumes(sources([volume]), directories)
  await t.rejects(fails({ name: 'v', configMap: { name: 'absent' } }), new VolumeError('Cannot set up volume "v" of pod default/web: configmap "absent" not found'))
  await t.rejects(fails({ name: 'v', configMap: { name: 'settings', items: [{ key: 'absent', path: 'x' }] } }), /configmap "settings" has no key absent/)
  await t.rejects(fails({ name: 'v', configMap: { name: 'settings', items: [{ key: 'a', path: '../x' }] } }), /does not stay inside the volume/)
  await t.rejects(fails({ name: 'v', persistentVolumeClaim: { claimName: 'c' } }), /volumes of kind persistentVolumeClaim are not supported/)
})

t.test('no path leads out of a volume', (t) => {
  for (const path of ['', '/a', '../a', 'a/../../b', '..data', 'a\0']) t.throws(() => checkPath(path), JSON.stringify(path))
  t.equal(checkPath('a//./b'), 'a/b')
  const volume = join(directory, 'volume')
  mkdirSync(volume)
  t.equal(resolveSubPath(volume, 'made/here'), join(volume, 'made/here'))
  symlinkSync('/etc', join(volume, 'out'))
  t.throws(() => resolveSubPath(volume, 'out/x'), /leads out of its volume/)
  t.end()
})

t.test('a directory made for a subPath may be written by whoever may write the volume', async (t) => {
  const { pod, ...rest } = sources([{ name: 'scratch', emptyDir: {} }])
  const madeFor = async (uid: string, spec: Partial<Pod['spec']>): Promise<unknown[]> => {
    const paths = await setUpVolumes({ ...rest, pod: { metadata: { ...pod.metadata, uid }, spec: { ...pod.spec, ...spec } } }, directories)
    const volume = paths.get('scratch') ?? ''
    resolveSubPath(volume, 'made/here')
    const made = ['made', 'made/here'].map((name) => statSync(join(volume, name)))
    await directories.remove(uid)
    return made.flatMap(({ mode, gid }) => [(mode & 0o7777).toString(8), gid])
  }
  const gid = process.getgid?.() ?? 0
  t.same(await madeFor('any-group', {}), ['777', gid, '777', gid])
  if (process.getuid?.() === 0) t.same(await madeFor('own-group', { securityContext: { fsGroup: 2000 } }), ['2777', 2000, '2777', 2000])
})

t.test('a path of the host is checked by its type', (t) => {
  const file = join(directory, 'file')
  writeFileSync(file, '')
  ensureHostPath(file, 'File')
  ensureHostPath(join(directory, 'new'), 'DirectoryOrCreate')
  t.throws(() => ensureHostPath(file, 'Directory'), /is not a Directory/)
  t.throws(() => ensureHostPath(join(directory, 'absent'), 'File'), /is not a File/)
  t.throws(() => ensureHostPath('/a/../b', ''), /without "\.\."/)
  t.end()
})
