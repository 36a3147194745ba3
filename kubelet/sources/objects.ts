/** The config maps and secrets that pods of this node refer to: each one watched by itself while some pod refers to it. */
import type { Client } from '../../api/client.ts'
import type { Clock, Random } from '../../api/clock.ts'
import { Informer } from '../../api/informer.ts'
import type { Logger } from '../../api/log.ts'
import { configMaps, secrets } from '../../api/resources.ts'
import type { Resource } from '../../api/resources.ts'
import type { ConfigMap, Container, KubeObject, Pod, Secret, Volume } from '../../api/types.ts'

export interface ObjectSourceOptions {
  readonly client: Client
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  /** Told when an object that a pod refers to came, changed or went. */
  readonly changed: (podUid: string) => void
}

interface References {
  readonly configMaps: ReadonlySet<string>
  readonly secrets: ReadonlySet<string>
}

function containersOf({ spec }: Pod): Container[] {
  return [...spec.containers, ...(spec.initContainers ?? [])]
}

/** Every config map and secret that a pod names. */
export function referencesOf(pod: Pod): References {
  const maps = new Set<string | undefined>()
  const hidden = new Set<string | undefined>()
  for (const { env, envFrom } of containersOf(pod)) {
    for (const { valueFrom } of env ?? []) {
      maps.add(valueFrom?.configMapKeyRef?.name)
      hidden.add(valueFrom?.secretKeyRef?.name)
    }
    for (const { configMapRef, secretRef } of envFrom ?? []) {
      maps.add(configMapRef?.name)
      hidden.add(secretRef?.name)
    }
  }
  const projections = (pod.spec.volumes ?? []).flatMap((volume: Volume) => volume.projected?.sources ?? [])
  for (const { configMap, secret } of [...(pod.spec.volumes ?? []), ...projections]) {
    maps.add(configMap?.name)
    hidden.add(secret === undefined ? undefined : 'secretName' in secret ? secret.secretName : 'name' in secret ? secret.name : undefined)
  }
  for (const { name } of pod.spec.imagePullSecrets ?? []) hidden.add(name)
  const named = (names: Set<string | undefined>): Set<string> => new Set([...names].filter((name): name is string => name !== undefined && name !== ''))
  return { configMaps: named(maps), secrets: named(hidden) }
}

interface Watched {
  readonly informer: Informer<KubeObject>
  readonly pods: Set<string>
}

export class ObjectSource {
  readonly #options: ObjectSourceOptions
  readonly #watched = new Map<string, Watched>()
  readonly #keysOfPod = new Map<string, string[]>()

  constructor(options: ObjectSourceOptions) {
    this.#options = options
  }

  /** Begins to watch what the pod refers to; resolves when all of it is known to be there or not. */
  async follow(pod: Pod): Promise<void> {
    const { uid = '', namespace = '' } = pod.metadata
    if (!this.#keysOfPod.has(uid)) {
      const references = referencesOf(pod)
      const keys = [
        ...[...references.configMaps].map((name) => this.#watch(configMaps, namespace, name, uid)),
        ...[...references.secrets].map((name) => this.#watch(secrets, namespace, name, uid)),
      ]
      this.#keysOfPod.set(uid, keys)
    }
    const informers = (this.#keysOfPod.get(uid) ?? []).flatMap((key) => this.#watched.get(key)?.informer ?? [])
    await Promise.all(informers.map(({ synced }) => synced))
  }

  /** Ends the watches that only this pod needed. */
  release(uid: string): void {
    for (const key of this.#keysOfPod.get(uid) ?? []) {
      const watched = this.#watched.get(key)
      watched?.pods.delete(uid)
      if (watched?.pods.size !== 0) continue
      watched.informer.stop()
      this.#watched.delete(key)
    }
    this.#keysOfPod.delete(uid)
  }

  configMap(namespace: string, name: string): ConfigMap | undefined {
    return this.#watched.get(keyFrom(configMaps, namespace, name))?.informer.get(namespace, name)
  }

  secret(namespace: string, name: string): Secret | undefined {
    return this.#watched.get(keyFrom(secrets, namespace, name))?.informer.get(namespace, name)
  }

  /** What tells two states of the pod's objects apart. */
  version(uid: string): string {
    return (this.#keysOfPod.get(uid) ?? []).map((key) => this.#watched.get(key)?.informer.list()[0]?.metadata.resourceVersion ?? '').join()
  }

  stop(): void {
    for (const { informer } of this.#watched.values()) informer.stop()
  }

  #watch(resource: Resource<KubeObject>, namespace: string, name: string, uid: string): string {
    const key = keyFrom(resource, namespace, name)
    const present = this.#watched.get(key)
    if (present !== undefined) {
      present.pods.add(uid)
      return key
    }
    const { client, clock, random, log, changed } = this.#options
    const informer = new Informer(client, resource, { namespace, fieldSelector: `metadata.name=${name}`, clock, random, log })
    const pods = new Set([uid])
    informer.onChange(() => {
      for (const pod of pods) changed(pod)
    })
    informer.start()
    this.#watched.set(key, { informer, pods })
    return key
  }
}

function keyFrom({ plural }: Resource<KubeObject>, namespace: string, name: string): string {
  return `${plural}/${namespace}/${name}`
}
