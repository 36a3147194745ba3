/** A container engine of a test's own, with one image made from this machine's busybox, and a CNI plugin that gives addresses by a script. */
import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface TestEngine {
  readonly directory: string
  readonly socketPath: string
  /** Runs the `docker` command against it; a second opinion. */
  docker(...args: string[]): string
  stop(): Promise<void>
}

const applets = ['sh', 'sleep', 'cat', 'echo', 'nc', 'httpd', 'wget', 'kill', 'ps', 'ls', 'touch', 'rm', 'env', 'true', 'false', 'id', 'stat', 'hostname', 'head', 'tail', 'seq', 'stty', 'mkdir', 'test', 'ip', 'tty', 'printf']

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const outgoing = request({ socketPath, path: '/_ping' }, (response) => {
      response.resume()
      resolve(response.statusCode === 200)
    })
    outgoing.on('error', () => resolve(false))
    outgoing.end()
  })
}

function makeImage(directory: string): string {
  const rootfs = join(directory, 'rootfs')
  for (const folder of ['bin', 'sbin', 'etc', 'tmp', 'proc', 'sys', 'dev']) mkdirSync(join(rootfs, folder), { recursive: true })
  copyFileSync('/bin/busybox', join(rootfs, 'bin/busybox'))
  copyFileSync('/usr/bin/tini-static', join(rootfs, 'sbin/tini'))
  for (const applet of applets) symlinkSync('busybox', join(rootfs, 'bin', applet))
  writeFileSync(join(rootfs, 'etc/passwd'), 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n')
  const archive = join(directory, 'image.tar')
  execFileSync('tar', ['-C', rootfs, '-cf', archive, '.'])
  return archive
}

/** Starts an engine in a network namespace of its own, which the kubelet's host (the test) cannot see into and need not. It ends with the test, whatever ends that. */
export async function startEngine(name: string): Promise<TestEngine> {
  const directory = mkdtempSync(join(tmpdir(), `fairway-${name}-`))
  const socketPath = join(directory, 'docker.sock')
  const child = spawn('setpriv', ['--pdeathsig', 'TERM', 'unshare', '--net', 'dockerd', '--bridge=none', '--iptables=false', '--ip-forward=false', '--ip-masq=false',
    '--data-root', join(directory, 'data'), '--exec-root', join(directory, 'exec'), '--pidfile', join(directory, 'docker.pid'), '-H', `unix://${socketPath}`, '--log-level=warn'],
  { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, TMPDIR: directory } })
  let said = ''
  child.stderr.on('data', (data: Buffer) => (said = (said + data.toString()).slice(-4000)))
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  for (let attempt = 0; !(await answers(socketPath)); attempt += 1) {
    if (attempt > 300 || child.exitCode !== null) throw new Error(`Cannot start a container engine: ${said}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  const docker = (...args: string[]): string => execFileSync('docker', ['-H', `unix://${socketPath}`, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  docker('import', makeImage(directory), 'busybox:1')
  docker('tag', 'busybox:1', 'busybox:latest')
  return {
    directory, socketPath, docker,
    stop: async () => {
      const left = docker('ps', '-aq').split('\n').filter((id) => id !== '')
      if (left.length > 0) docker('rm', '-f', ...left)
      child.kill('SIGTERM')
      await ended
      for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n').toReversed()) {
        const point = line.split(' ')[4] ?? ''
        if (point.startsWith(`${directory}/`)) execFileSync('umount', ['-l', point])
      }
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

/** A plugin that brings up loopback, gives 127.0.0.1-like addresses from a counter, and keeps a file for each attachment. */
export function writeFakeCni(directory: string): { readonly binDir: string; readonly confDir: string; readonly cacheDir: string; readonly attached: () => string[] } {
  const [binDir, confDir, cacheDir, state] = ['bin', 'conf', 'cache', 'state'].map((folder) => join(directory, 'cni', folder)) as [string, string, string, string]
  for (const folder of [binDir, confDir, cacheDir, state]) mkdirSync(folder, { recursive: true })
  writeFileSync(join(binDir, 'fake'), `#!/bin/sh
cat >/dev/null
case $CNI_COMMAND in
ADD)
  n=$(cat ${state}/counter 2>/dev/null || echo 1); n=$((n + 1)); echo $n >${state}/counter
  nsenter --net="$CNI_NETNS" busybox ip link set lo up
  nsenter --net="$CNI_NETNS" busybox ip addr add 10.99.0.$n/32 dev lo
  echo 10.99.0.$n >${state}/at-$CNI_CONTAINERID
  echo '{"cniVersion":"1.1.0","ips":[{"address":"10.99.0.'$n'/32"}]}' ;;
DEL) rm -f ${state}/at-$CNI_CONTAINERID ;;
STATUS) [ ! -e ${state}/broken ] || { echo '{"cniVersion":"1.1.0","code":50,"msg":"broken on purpose"}'; exit 1; } ;;
esac
`)
  chmodSync(join(binDir, 'fake'), 0o755)
  writeFileSync(join(confDir, '10-fake.conflist'), JSON.stringify({ cniVersion: '1.1.0', name: 'fake', plugins: [{ type: 'fake' }] }))
  return { binDir, confDir, cacheDir, attached: () => (existsSync(state) ? execFileSync('ls', [state], { encoding: 'utf8' }).split('\n').filter((name) => name.startsWith('at-')) : []) }
}
