/** The files that a pod's containers mount: volumes, `/etc/hosts` and `/etc/resolv.conf`, kept as their sources are. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Pod } from '../../api/types.ts'
import type { KubeletParts } from '../options.ts'
import { setUpVolumes, VolumeError } from '../volumes/volumes.ts'
import type { VolumePaths } from '../volumes/volumes.ts'
import { parseResolvConf, renderHosts, renderResolvConf, resolvConfOf } from './network-files.ts'

interface Prepared {
  readonly version: string
  readonly volumes: VolumePaths
}

/** Longer than this a pod does not wait for what it refers to before it says so. */
const sourcesMs = 5000

export class PodFiles {
  readonly #parts: KubeletParts
  readonly #prepared = new Map<string, Prepared>()

  constructor(parts: KubeletParts) {
    this.#parts = parts
  }

  /** Brings the volumes up to date, doing nothing where no source has changed. Rejects with a `VolumeError`. */
  async volumes(pod: Pod): Promise<VolumePaths> {
    const { objects, tokens, directories, options, machine } = this.#parts
    const { uid = '', namespace = '' } = pod.metadata
    await this.#sourcesKnown(pod)
    const version = this.#versionOf(pod)
    const present = this.#prepared.get(uid)
    if (present !== undefined && present.version === version && options.clock.now() < tokens.renewAtMs(uid)) return present.volumes
    const volumes = await setUpVolumes({
      pod, nodeName: options.nodeName, hostIPs: options.nodeAddresses, podIPs: [], allocatable: machine.capacity,
      configMap: (name) => objects.configMap(namespace, name),
      secret: (name) => objects.secret(namespace, name),
      token: (request) => tokens.token(pod, request),
    }, directories)
    this.#prepared.set(uid, { version, volumes })
    return volumes
  }

  /** How long until the pod's files need looking at though nothing has changed. */
  renewInMs(uid: string): number {
    return Math.max(1000, this.#parts.tokens.renewAtMs(uid) - this.#parts.options.clock.now())
  }

  /** Writes `/etc/hosts` and `/etc/resolv.conf`, in place: running containers have the very files mounted. */
  network(pod: Pod, podIPs: readonly string[]): { readonly hostsFile: string; readonly resolvConfFile: string } {
    const { directories, options } = this.#parts
    const { clusterDns, clusterDomain = 'cluster.local' } = options
    const directory = directories.pod(pod.metadata.uid ?? '')
    mkdirSync(directory, { recursive: true })
    const hostsFile = join(directory, 'etc-hosts')
    const resolvConfFile = join(directory, 'resolv.conf')
    const host = parseResolvConf(read(options.resolvConf ?? '/etc/resolv.conf'))
    writeIfChanged(hostsFile, renderHosts(pod, podIPs, clusterDomain, pod.spec.hostNetwork === true ? read('/etc/hosts') : ''))
    writeIfChanged(resolvConfFile, renderResolvConf(resolvConfOf(pod, { clusterDNS: clusterDns, clusterDomain }, host)))
    return { hostsFile, resolvConfFile }
  }

  release(uid: string): void {
    this.#prepared.delete(uid)
    this.#parts.objects.release(uid)
    this.#parts.tokens.release(uid)
  }

  async #sourcesKnown(pod: Pod): Promise<void> {
    const { objects, options: { clock } } = this.#parts
    const { promise: late, resolve } = Promise.withResolvers<'late'>()
    const timer = clock.setTimeout(() => resolve('late'), sourcesMs)
    try {
      if ((await Promise.race([objects.follow(pod), late])) === 'late') {
        throw new VolumeError(`Cannot read the config maps and secrets of pod ${pod.metadata.namespace}/${pod.metadata.name}: the API server has not answered yet`)
      }
    } finally {
      timer.cancel()
    }
  }

  #versionOf({ metadata: { uid = '', labels, annotations } }: Pod): string {
    return `${this.#parts.objects.version(uid)} ${JSON.stringify([labels, annotations])}`
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}

function writeIfChanged(file: string, text: string): void {
  if (read(file) !== text) writeFileSync(file, text, { mode: 0o644 })
}
