/** Images from outside: an archive of `docker save` and a bare root file system, each onto every host. */
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { upCluster } from '../support/cluster.ts'

const cluster = await upCluster(t, 'e2e-images')
const folder = mkdtempSync(join(tmpdir(), 'fairway-images-'))
t.teardown(() => rmSync(folder, { recursive: true }))
const hosts = ['node-1', 'node-2']

function makeRootfs(greeting: string): string {
  const root = join(folder, greeting)
  mkdirSync(join(root, 'bin'), { recursive: true })
  copyFileSync('/bin/busybox', join(root, 'bin', 'busybox'))
  symlinkSync('busybox', join(root, 'bin', 'sh'))
  writeFileSync(join(root, 'greeting'), greeting)
  execFileSync('tar', ['-cf', `${root}.tar`, '-C', root, '.'])
  return `${root}.tar`
}

async function greetingOn(host: string, image: string): Promise<string> {
  const name = `greet-${host}-${image.replaceAll(/[^a-z0-9]/g, '-')}`
  await cluster.kubectl(['apply', '-f', '-'], {
    input: JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec: { nodeName: host, restartPolicy: 'Never', containers: [{ name: 'greet', image, command: ['/bin/sh', '-c', 'busybox cat /greeting'] }] } }),
  })
  await cluster.kubectl(['wait', `pod/${name}`, '--for=jsonpath={.status.phase}=Succeeded', '--timeout=30s'])
  return cluster.kubectl(['logs', name])
}

t.test('a root file system becomes an image on every host', async (t) => {
  const ran = await cluster.fairway(['image', 'import', makeRootfs('imported'), '--name', 'mine:1', '--cluster', cluster.name])
  t.equal(ran.code, 0, ran.stderr)
  for (const host of hosts) t.equal(await greetingOn(host, 'mine:1'), 'imported')
})

t.test('an archive that docker saved is loaded onto every host', async (t) => {
  const archive = join(folder, 'saved.tar')
  const saved = await cluster.node('node-1', ['sh', '-c', `docker tag mine:1 saved:2 && docker save -o ${archive} saved:2 && docker rmi saved:2`])
  t.equal(saved.code, 0, saved.stderr)
  const ran = await cluster.fairway(['image', 'load', '--name', cluster.name, archive])
  t.equal(ran.code, 0, ran.stderr)
  t.match(ran.stdout, /saved:2 .*2 hosts/)
  for (const host of hosts) t.equal(await greetingOn(host, 'saved:2'), 'imported')
})

t.test('what is no image is refused', async (t) => {
  for (const args of [['load', '--name', cluster.name, join(folder, 'absent.tar')], ['load', '--name', cluster.name, '/etc/hostname'], ['import', '/etc/hostname', '--name', 'Not An Image', '--cluster', cluster.name]]) {
    const ran = await cluster.fairway(['image', ...args])
    t.not(ran.code, 0, args.join(' '))
    t.match(ran.stderr, /^Cannot (load|import) \S+.*\n$/)
  }
})
