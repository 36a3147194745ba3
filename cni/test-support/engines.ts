/**
 * Container engines that others wrote, as callers of the plugins: containerd (its `ctr` and its CRI) and Podman, each with folders of its own, in the
 * test host's network namespace and in a mount namespace with a `/run`, `/etc`, `/opt` and `/var/lib` of its own, so that nothing of the machine's is touched.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs'
import { connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { builtInImage } from '../../cli/images/built-in.ts'
import { removeCgroups } from './cgroups.ts'
import { TestHost, execute } from './host.ts'
import type { Finished } from './host.ts'
import { bytesField, decodeFields, integerField } from './protobuf.ts'

export const referencePlugins = '/usr/lib/cni'

export class EngineHost extends TestHost {
  readonly #children: ChildProcess[] = []
  #holder: ChildProcess | undefined
  /** The cgroup of its pods. */
  readonly cgroup = `fairway-test-${basename(this.folder)}`

  /** Makes the mount namespace, and the image that all engines run as a root folder and an archive. */
  async begin(): Promise<void> {
    const layers = ['etc', 'opt', 'var/lib'].map((name) => {
      const [upper, work] = [join(this.folder, 'upper', name), join(this.folder, 'work', name)]
      for (const folder of [upper, work]) mkdirSync(folder, { recursive: true })
      return `mount -t overlay overlay -o lowerdir=/${name},upperdir=${upper},workdir=${work} /${name}`
    })
    const setup = ['mount -t tmpfs tmpfs /run', ...layers, 'mkdir -p /etc/cni/net.d /opt/cni/bin', 'rm -f /etc/cni/net.d/*', 'echo ready', 'exec sleep infinity'].join(' && ')
    const holder = spawn('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', setup], { stdio: ['ignore', 'pipe', 'inherit'] })
    this.#holder = holder
    await once(holder.stdout, 'data')
  }

  /** The words before a command that is to run there. */
  #enter(): string[] {
    return [`--mount=/proc/${this.#holder?.pid}/ns/mnt`, `--net=/proc/${process.pid}/fd/${this.netns.descriptor}`]
  }

  engine(...command: readonly string[]): Promise<Finished> {
    return execute('nsenter', [...this.#enter(), ...command])
  }

  /** Starts what goes on until the end of the test. */
  start(...command: readonly string[]): ChildProcess {
    const child = spawn('nsenter', [...this.#enter(), ...command], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#children.push(child)
    return child
  }

  override async serve(): Promise<void> {
    const child = this.start(process.execPath, new URL('serve.ts', import.meta.url).pathname, this.socketPath)
    if (child.stdout !== null) await once(child.stdout, 'data')
  }

  /** Writes a configuration list where the engines look, and gives them our executables beside the reference plugins. */
  async configure(list: unknown): Promise<void> {
    const file = join(this.folder, 'list')
    writeFileSync(file, JSON.stringify(list))
    await this.engine('sh', '-c', `cp ${file} /etc/cni/net.d/10-test.conflist && cp ${this.binDir}/* ${referencePlugins}/* /opt/cni/bin/`)
  }

  /** The built-in image as an archive. */
  image(): string {
    const file = join(this.folder, 'image.tar')
    if (!existsSync(file)) writeFileSync(file, builtInImage().archive)
    return file
  }

  /** And unpacked. */
  async rootfs(): Promise<string> {
    const folder = join(this.folder, 'rootfs')
    if (existsSync(folder)) return folder
    mkdirSync(folder)
    await execute('sh', ['-c', `tar -xO -f ${this.image()} layer.tar | tar -x -C ${folder}`])
    return folder
  }

  async startContainerd(): Promise<Containerd> {
    const root = join(this.folder, 'containerd')
    mkdirSync(root, { recursive: true })
    const socket = join(root, 'containerd.sock')
    writeFileSync(join(root, 'config.toml'), `version = 2
root = "${root}/root"
state = "/run/containerd"
[grpc]
  address = "${socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/library/busybox:latest"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
`)
    const child = this.start('containerd', '--config', join(root, 'config.toml'))
    const containerd = new Containerd(this, child, socket)
    await containerd.ready()
    return containerd
  }

  /** Podman with its CNI backend. */
  podman(...args: readonly string[]): Promise<Finished> {
    const file = join(this.folder, 'containers.conf')
    if (!existsSync(file)) {
      writeFileSync(file, `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[network]
network_backend = "cni"
network_config_dir = "/etc/cni/net.d"
cni_plugin_dirs = ["/opt/cni/bin"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "runc"
`)
    }
    const root = join(this.folder, 'podman')
    return this.engine('env', `CONTAINERS_CONF=${file}`, 'podman', '--root', `${root}/root`, '--runroot', '/run/podman', '--tmpdir', '/run/libpod', '--storage-driver', 'vfs', ...args)
  }

  /** Shims outlive their engine: they are in its mount namespace, and containers are their children. */
  #killAll(): void {
    const mine = this.#holder?.pid === undefined ? undefined : linkOf(`/proc/${this.#holder.pid}/ns/mnt`)
    const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
    const inside = new Set(pids.filter((pid) => mine !== undefined && linkOf(`/proc/${pid}/ns/mnt`) === mine))
    const children = pids.filter((pid) => inside.has(parentOf(pid)))
    for (const pid of new Set([...inside, ...children])) {
      try {
        process.kill(Number(pid), 'SIGKILL')
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
      }
    }
    for (const child of this.#children) child.kill('SIGKILL')
    this.#holder?.kill('SIGKILL')
  }

  override [Symbol.dispose](): void {
    try {
      this.#killAll()
      removeCgroups(this.cgroup)
    } finally {
      super[Symbol.dispose]()
    }
  }
}

/** Empty where the process has ended. */
function linkOf(file: string): string {
  return existsSync(file) ? readlinkSync(file) : ''
}

function parentOf(pid: string): string {
  const file = `/proc/${pid}/stat`
  return existsSync(file) ? (/^.*\) \S (\d+)/.exec(readFileSync(file, 'utf8'))?.[1] ?? '') : ''
}

class Containerd {
  readonly #host: EngineHost
  readonly #socket: string
  readonly process: ChildProcess

  constructor(host: EngineHost, child: ChildProcess, socket: string) {
    this.#host = host
    this.process = child
    this.#socket = socket
  }

  async ready(): Promise<void> {
    let log = ''
    this.process.stderr?.on('data', (data: Buffer) => (log += data.toString()))
    for (let attempt = 0; attempt < 200; attempt++) {
      if ((await this.ctr('version')).status === 0 && (await this.#isServing())) return
      await sleep(50)
    }
    throw new Error(`Cannot start containerd: ${log.slice(-2000)}`)
  }

  /** The CRI is ready later than the rest. */
  async #isServing(): Promise<boolean> {
    try {
      await this.call('Status', Buffer.alloc(0))
      return true
    } catch (error) {
      if (/not initialized/.test((error as Error).message)) return false
      throw error
    }
  }

  ctr(...args: readonly string[]): Promise<Finished> {
    return this.#host.engine('ctr', '--address', this.#socket, ...args)
  }

  /** A call of runtime.v1.RuntimeService: gRPC's framing over HTTP/2, which is all that a unary call needs. */
  call(method: string, request: Buffer): Promise<Map<number, Buffer[]>> {
    return new Promise((resolve, reject) => {
      const session = connectHttp2('http://localhost', { createConnection: () => connect(this.#socket) })
      session.on('error', reject)
      const stream = session.request({ ':method': 'POST', ':path': `/runtime.v1.RuntimeService/${method}`, 'content-type': 'application/grpc', te: 'trailers' })
      const chunks: Buffer[] = []
      let status = '0'
      let message = ''
      const note = (headers: Readonly<Record<string, unknown>>): void => {
        status = String(headers['grpc-status'] ?? status)
        message = decodeURIComponent(String(headers['grpc-message'] ?? message))
      }
      stream.on('response', note)
      stream.on('trailers', note)
      stream.on('data', (data: Buffer) => chunks.push(data))
      stream.on('error', reject)
      stream.on('close', () => {
        session.close()
        if (status === '0') resolve(decodeFields(Buffer.concat(chunks).subarray(5)))
        else reject(new Error(`Cannot ${method}: ${message} (code ${status})`))
      })
      const head = Buffer.alloc(5)
      head.writeUInt32BE(request.length, 1)
      stream.end(Buffer.concat([head, request]))
    })
  }

  /** RunPodSandbox (k8s.io/cri-api/pkg/apis/runtime/v1/api.proto); returns the sandbox's id. */
  async runSandbox(name: string, { ports = [], annotations = {} }: { readonly ports?: readonly { readonly hostPort: number; readonly containerPort: number }[]; readonly annotations?: Readonly<Record<string, string>> } = {}): Promise<string> {
    const metadata = Buffer.concat([bytesField(1, name), bytesField(2, `uid-${name}`), bytesField(3, 'default')])
    const config = Buffer.concat([
      bytesField(1, metadata), bytesField(2, name), bytesField(3, '/tmp'),
      ...ports.map(({ hostPort, containerPort }) => bytesField(5, Buffer.concat([integerField(2, containerPort), integerField(3, hostPort)]))),
      ...Object.entries(annotations).map(([key, value]) => bytesField(7, Buffer.concat([bytesField(1, key), bytesField(2, value)]))),
      bytesField(8, bytesField(1, `/${this.#host.cgroup}`)),
    ])
    return String((await this.call('RunPodSandbox', bytesField(1, config))).get(1)?.[0])
  }

  /** The address that PodSandboxStatus says. */
  async addressOf(id: string): Promise<string> {
    const status = decodeFields((await this.call('PodSandboxStatus', bytesField(1, id))).get(1)?.[0] ?? Buffer.alloc(0))
    return String(decodeFields(status.get(5)?.[0] ?? Buffer.alloc(0)).get(1)?.[0])
  }

  async removeSandbox(id: string): Promise<void> {
    await this.call('StopPodSandbox', bytesField(1, id))
    await this.call('RemovePodSandbox', bytesField(1, id))
  }
}
