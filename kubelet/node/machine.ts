/** What the host is: its processors, memory and disk, and how it names itself. */
import { readFileSync, statfsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { formatBytes } from '../../api/quantity.ts'
import type { NodeSystemInfo } from '../../api/types.ts'
import type { RuntimeVersion } from '../runtime/runtime.ts'

/** The Kubernetes release whose kubelet this one behaves as. */
const kubeletVersion = 'v1.35.0'

export interface Machine {
  readonly memoryBytes: number
  readonly capacity: Readonly<Record<string, string>>
}

function wordsOf(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    if (['ENOENT', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) return ''
    throw error
  }
}

/** Bytes of one line of /proc/meminfo, which counts in kibibytes. */
export function memoryFigure(meminfo: string, name: string): number {
  const match = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(meminfo)
  return Number(match?.[1] ?? 0) * 1024
}

export function readMachine(dataDir: string, podsMax: number): Machine {
  const memoryBytes = memoryFigure(readFileSync('/proc/meminfo', 'utf8'), 'MemTotal')
  const { blocks, bsize } = statfsSync(dataDir)
  return {
    memoryBytes,
    capacity: { cpu: String(availableParallelism()), memory: formatBytes(memoryBytes), 'ephemeral-storage': formatBytes(blocks * bsize), pods: String(podsMax) },
  }
}

export function readSystemInfo(version: RuntimeVersion): NodeSystemInfo {
  const machineID = wordsOf('/etc/machine-id')
  const architectures: Readonly<Record<string, string>> = { x86_64: 'amd64', aarch64: 'arm64' }
  return {
    machineID,
    systemUUID: wordsOf('/sys/class/dmi/id/product_uuid') || machineID,
    bootID: wordsOf('/proc/sys/kernel/random/boot_id'),
    kernelVersion: version.kernelVersion,
    // The engine's own words for it add what it thinks of where it runs.
    osImage: /^PRETTY_NAME="?([^"\n]+)/m.exec(wordsOf('/etc/os-release'))?.[1] ?? version.osImage,
    containerRuntimeVersion: `${version.runtimeName}://${version.runtimeVersion}`,
    kubeletVersion,
    kubeProxyVersion: '',
    operatingSystem: 'linux',
    architecture: architectures[version.architecture] ?? version.architecture,
  }
}
