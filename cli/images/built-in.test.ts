import { execFileSync } from 'node:child_process'
import t from 'tap'
import { builtInImage, builtInTags } from './built-in.ts'
import { tar } from './tar.ts'

const list = (archive: Uint8Array, ...args: string[]): string => execFileSync('tar', ['-t', ...args], { input: archive, encoding: 'utf8' })
const extract = (archive: Uint8Array, name: string): Buffer => execFileSync('tar', ['-x', '-O', name], { input: archive, maxBuffer: 64 * 1024 * 1024 })

t.test("an archive is what the system's tar reads: files, links, folders, modes", (t) => {
  const archive = tar([
    { path: 'a', content: 'folder' },
    { path: 'a/file', mode: 0o4755, content: { file: Buffer.from('x'.repeat(513)) } },
    { path: 'a/empty', content: { file: new Uint8Array() } },
    { path: 'a/link', content: { link: '/bin/busybox' } },
  ])
  t.match(list(archive, '-v'), /^drwxr-xr-x .* a\/\n-rwsr-xr-x .* 513 .* a\/file\n-rw-r--r-- .* 0 .* a\/empty\nlrwxrwxrwx .* a\/link -> \/bin\/busybox\n$/)
  t.equal(extract(archive, 'a/file').toString(), 'x'.repeat(513))
  t.throws(() => tar([{ path: 'n'.repeat(101), content: 'folder' }]), /Cannot write .* longer than 100 bytes/)
  t.end()
})

t.test('the image is the same whenever it is made, and its names are those that manifests use', (t) => {
  const image = builtInImage()
  t.equal(builtInImage().archive.compare(image.archive), 0)
  const [manifest] = JSON.parse(extract(image.archive, 'manifest.json').toString()) as [{ Config: string; RepoTags: string[]; Layers: string[] }]
  t.same(manifest.RepoTags, builtInTags)
  t.equal(`sha256:${manifest.Config}`, `${image.id}.json`)
  const programs = list(extract(image.archive, manifest.Layers[0] ?? '')).split('\n')
  for (const program of ['bin/sh', 'bin/busybox', 'sbin/tini', 'usr/bin/wget', ...(process.arch === 'x64' ? ['bin/udp'] : [])]) t.ok(programs.includes(program), program)
  t.equal(new Set(programs).size, programs.length, 'nothing is there twice')
  t.end()
})
