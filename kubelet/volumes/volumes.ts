/** Sets up the volumes of a pod, and keeps those made from objects up to date. */
import { chmodSync, chownSync, mkdirSync } from 'node:fs'
import { parseQuantity } from '../../api/quantity.ts'
import type { Pod, Volume } from '../../api/types.ts'
import { writeAtomically, type Ownership } from './atomic-directory.ts'
import { ensureHostPath } from './host-path.ts'
import { ensureTmpfs } from './mounts.ts'
import { payloadOf, type PayloadSources } from './payload.ts'
import type { PodDirectories } from './pod-directory.ts'

/** Where each volume of a pod is on the host, by its name. */
export type VolumePaths = ReadonlyMap<string, string>

/** A volume that cannot be set up (event FailedMount). */
export class VolumeError extends Error {
  override readonly name = 'VolumeError'
}

function kindOf(volume: Volume): string {
  const kind = Object.keys(volume).find((key) => key !== 'name' && volume[key as keyof Volume] !== undefined)
  return kind ?? 'emptyDir'
}

/** The one user that every container of the pod runs as, if there is one: it alone may read a token. */
function commonUser({ spec }: Pod): number | undefined {
  const users = new Set([...spec.containers, ...(spec.initContainers ?? [])].map((container) => container.securityContext?.runAsUser ?? spec.securityContext?.runAsUser))
  return users.size === 1 ? [...users][0] : undefined
}

async function ensureEmptyDir(path: string, volume: Volume, gid: number | undefined): Promise<void> {
  const { medium = '', sizeLimit } = volume.emptyDir ?? {}
  mkdirSync(path, { recursive: true })
  if (medium === 'Memory') await ensureTmpfs(path, { mode: '0777', ...(sizeLimit === undefined ? {} : { sizeBytes: parseQuantity(String(sizeLimit)) }) })
  else if (medium !== '') throw new Error(`medium ${String(medium)} is not supported`)
  if (gid === undefined) {
    chmodSync(path, 0o777)
  } else {
    chownSync(path, 0, gid)
    chmodSync(path, 0o2777)
  }
}

/** Files made from secrets and tokens belong to the pod's user or group where it has one, and are then nobody else's. */
function ownershipOf(pod: Pod, volume: Volume): Ownership {
  const gid = pod.spec.securityContext?.fsGroup
  const hasToken = volume.projected?.sources?.some(({ serviceAccountToken }) => serviceAccountToken !== undefined) === true
  const uid = hasToken && gid === undefined ? commonUser(pod) : undefined
  return { ...(uid === undefined ? {} : { uid }), ...(gid === undefined ? {} : { gid }) }
}

async function setUpVolume(volume: Volume, sources: PayloadSources, directories: PodDirectories): Promise<string> {
  const { pod } = sources
  const { hostPath } = volume
  if (hostPath !== undefined) {
    ensureHostPath(hostPath.path, hostPath.type ?? '')
    return hostPath.path
  }
  const kind = kindOf(volume)
  const path = directories.volume(pod.metadata.uid ?? '', kind, volume.name)
  if (kind === 'emptyDir') {
    await ensureEmptyDir(path, volume, pod.spec.securityContext?.fsGroup)
    return path
  }
  const payload = await payloadOf(volume, sources)
  if (payload === undefined) throw new Error(`volumes of kind ${kind} are not supported`)
  writeAtomically(path, payload, ownershipOf(pod, volume))
  return path
}

/** Sets up every volume, side by side; call it again to bring files up to date. */
export async function setUpVolumes(sources: PayloadSources, directories: PodDirectories): Promise<VolumePaths> {
  const { pod } = sources
  const made = (pod.spec.volumes ?? []).map(async (volume): Promise<[string, string]> => {
    try {
      return [volume.name, await setUpVolume(volume, sources, directories)]
    } catch (error) {
      throw new VolumeError(`Cannot set up volume "${volume.name}" of pod ${pod.metadata.namespace}/${pod.metadata.name}: ${(error as Error).message}`, { cause: error })
    }
  })
  return new Map(await Promise.all(made))
}
