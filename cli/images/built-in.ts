/**
 * The built-in image, `busybox:1` and `busybox:latest`: Debian's static busybox with its programs as links, tini, and `udp`. It is on every
 * local host, so that a cluster needs no registry, and it is what sandboxes run.
 *
 * Format: Docker Image Specification v1.2, as `docker load` reads it. The same programs give the same image.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { tar } from './tar.ts'
import type { TarEntry } from './tar.ts'
import { udpProgram } from './udp-program.ts'

export const builtInTags = ['busybox:1', 'busybox:latest'] as const

export interface BuiltInImage {
  /** `sha256:` and the hash of its configuration, as the engine calls it. */
  readonly id: string
  /** What `docker load` takes. */
  readonly archive: Buffer
}

/** Programs of the distribution, and the packages they are in. */
const busyboxFile = { paths: ['/usr/bin/busybox', '/bin/busybox'], package: 'busybox-static' }
const tiniFile = { paths: ['/usr/bin/tini-static'], package: 'tini' }

/** Debian builds busybox without time-outs in `wget`, and `-T` crashes it. Here it bounds the whole transfer. */
const wget = `#!/bin/sh
seconds=
count=$#
while [ $count -gt 0 ]; do
  argument=$1; shift; count=$((count - 1))
  case $argument in
    -T) seconds=$1; shift; count=$((count - 1)) ;;
    -T?*) seconds=\${argument#-T} ;;
    *) set -- "$@" "$argument" ;;
  esac
done
[ -z "$seconds" ] || exec timeout "$seconds" busybox wget "$@"
exec busybox wget "$@"
`

/** Builds the image from what is installed on this machine; a few milliseconds. */
export function builtInImage(): BuiltInImage {
  const busybox = find(busyboxFile)
  const applets = execFileSync(busybox, ['--list'], { encoding: 'utf8' }).trim().split('\n').filter((name) => name !== 'busybox' && name !== 'wget')
  const layer = tar(rootfs(readFileSync(busybox), applets, readFileSync(find(tiniFile))))
  const config = Buffer.from(JSON.stringify({
    architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
    os: 'linux',
    created: '1970-01-01T00:00:00Z',
    config: { Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'], Cmd: ['sh'], WorkingDir: '/' },
    rootfs: { type: 'layers', diff_ids: [`sha256:${sha256(layer)}`] },
    history: [{ created: '1970-01-01T00:00:00Z', created_by: 'fairway' }],
  }))
  const id = sha256(config)
  const manifest = [{ Config: `${id}.json`, RepoTags: builtInTags, Layers: ['layer.tar'] }]
  const archive = tar([
    { path: `${id}.json`, content: { file: config } },
    { path: 'layer.tar', content: { file: layer } },
    { path: 'manifest.json', content: { file: Buffer.from(JSON.stringify(manifest)) } },
  ])
  return { id: `sha256:${id}`, archive }
}

function find({ paths, package: name }: { readonly paths: readonly string[]; readonly package: string }): string {
  const found = paths.find((path) => existsSync(path))
  if (found === undefined) throw new Error(`Cannot make the built-in image: ${paths[0]} is missing; install it with 'apt-get install ${name}'`)
  return found
}

function rootfs(busybox: Uint8Array, applets: readonly string[], tini: Uint8Array): TarEntry[] {
  const text = (path: string, content: string): TarEntry => ({ path, content: { file: Buffer.from(content) } })
  const program = (path: string, file: Uint8Array): TarEntry => ({ path, mode: 0o755, content: { file } })
  const folder = (path: string, mode = 0o755): TarEntry => ({ path, mode, content: 'folder' })
  return [
    ...['bin', 'sbin', 'etc', 'dev', 'proc', 'sys', 'usr', 'usr/bin', 'var', 'var/log', 'home'].map((path) => folder(path)),
    folder('root', 0o700), folder('tmp', 0o1777), folder('run'),
    text('etc/passwd', 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n'),
    text('etc/group', 'root:x:0:\nnogroup:x:65534:\n'),
    program('bin/busybox', busybox),
    program('sbin/tini', tini),
    program('usr/bin/wget', Buffer.from(wget)),
    { path: 'usr/bin/env', content: { link: '/bin/busybox' } },
    ...applets.map((name): TarEntry => ({ path: `bin/${name}`, content: { link: '/bin/busybox' } })),
    ...(process.arch === 'x64' ? [program('bin/udp', udpProgram())] : []),
  ]
}

function sha256(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex')
}
