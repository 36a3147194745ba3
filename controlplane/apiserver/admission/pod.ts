// What new pods get: a service account with its token (ServiceAccount), tolerations of a lost node for five minutes
// (DefaultTolerationSeconds), a priority (Priority).
import type { WriteContext } from '../descriptor.ts'
import { isRecord } from '../object.ts'
import type { ApiObject } from '../object.ts'
import { generateName } from '../write/names.ts'
import { forbidden } from '../status.ts'

const pods = { group: '', plural: 'pods' }
const mountPath = '/var/run/secrets/kubernetes.io/serviceaccount'
/** One hour and seven seconds, by which kubelets recognise the default (serviceaccount admission.go). */
const tokenSeconds = 3607

type Json = Record<string, unknown>

export interface PodAdmissionOptions {
  /** How long a pod without an opinion stays on a node that is not ready, or cannot be reached. Kubernetes' default is 300. */
  readonly notReadyTolerationSeconds: number
  readonly unreachableTolerationSeconds: number
}

/** Runs the three on a pod that is about to be created. */
export function admitPod(pod: ApiObject, context: WriteContext, options: PodAdmissionOptions): void {
  if (!isRecord(pod['spec'])) return
  const spec = pod['spec']
  const isMirror = pod.metadata.annotations?.['kubernetes.io/config.mirror'] !== undefined
  if (!isMirror) admitServiceAccount(pod, spec, context)
  addTolerations(spec, options)
  setPriority(pod, spec, context)
}

function admitServiceAccount(pod: ApiObject, spec: Json, context: WriteContext): void {
  const namespace = pod.metadata.namespace ?? ''
  if (typeof spec['serviceAccountName'] !== 'string' || spec['serviceAccountName'] === '') spec['serviceAccountName'] = 'default'
  const name = spec['serviceAccountName'] as string
  spec['serviceAccount'] = name
  const account = context.lookup('serviceaccounts', namespace, name) as ApiObject | undefined
  if (account === undefined) {
    throw forbidden(pods, pod.metadata.name ?? '', `error looking up service account ${namespace}/${name}: serviceaccount "${name}" not found`)
  }
  const secrets = account['imagePullSecrets']
  if (!Array.isArray(spec['imagePullSecrets']) && Array.isArray(secrets) && secrets.length > 0) spec['imagePullSecrets'] = structuredClone(secrets)
  const automount = spec['automountServiceAccountToken'] ?? account['automountServiceAccountToken'] ?? true
  if (automount === true) mountToken(spec, context)
}

/** Projects token, CA and namespace into every container that has nothing mounted there. */
function mountToken(spec: Json, context: WriteContext): void {
  const containers = [spec['initContainers'], spec['containers']].flatMap((list) => (Array.isArray(list) ? list : [])).filter(isRecord)
  const wanting = containers.filter((container) => !listOf(container, 'volumeMounts').some((mount) => isRecord(mount) && mount['mountPath'] === mountPath))
  if (wanting.length === 0) return
  const volumes = listOf(spec, 'volumes')
  const present = volumes.find((volume) => isRecord(volume) && String(volume['name']).startsWith('kube-api-access-'))
  const name = isRecord(present) ? String(present['name']) : generateName('kube-api-access-', context.random)
  for (const container of wanting) container['volumeMounts'] = [...listOf(container, 'volumeMounts'), { name, readOnly: true, mountPath }]
  if (present === undefined) spec['volumes'] = [...volumes, tokenVolume(name)]
}

function tokenVolume(name: string): Json {
  const sources = [
    { serviceAccountToken: { expirationSeconds: tokenSeconds, path: 'token' } },
    { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
    { downwardAPI: { items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }] } },
  ]
  return { name, projected: { sources, defaultMode: 0o644 } }
}

function addTolerations(spec: Json, { notReadyTolerationSeconds, unreachableTolerationSeconds }: PodAdmissionOptions): void {
  const tolerations = listOf(spec, 'tolerations').filter(isRecord)
  const wanted: [key: string, seconds: number][] = [['node.kubernetes.io/not-ready', notReadyTolerationSeconds], ['node.kubernetes.io/unreachable', unreachableTolerationSeconds]]
  const isOpen = (value: unknown): boolean => value === undefined || value === ''
  const added = wanted
    .filter(([key]) => !tolerations.some((one) => (one['key'] === key || isOpen(one['key'])) && (one['effect'] === 'NoExecute' || isOpen(one['effect']))))
    .map(([key, tolerationSeconds]) => ({ key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds }))
  if (added.length > 0) spec['tolerations'] = [...tolerations, ...added]
}

const systemPriorities: Readonly<Record<string, number>> = { 'system-cluster-critical': 2_000_000_000, 'system-node-critical': 2_000_001_000 }

function setPriority(pod: ApiObject, spec: Json, context: WriteContext): void {
  let name = spec['priorityClassName']
  if (typeof name !== 'string' || name === '') {
    const fallback = context.list('priorityclasses.scheduling.k8s.io').find((candidate) => (candidate as ApiObject)['globalDefault'] === true)
    if (fallback === undefined) {
      spec['priority'] ??= 0
      spec['preemptionPolicy'] ??= 'PreemptLowerPriority'
      return
    }
    name = fallback.metadata.name
    spec['priorityClassName'] = name
  }
  const found = context.lookup('priorityclasses.scheduling.k8s.io', undefined, name as string) as ApiObject | undefined
  const value = found?.['value'] ?? systemPriorities[name as string]
  if (typeof value !== 'number') throw forbidden(pods, pod.metadata.name ?? '', `no PriorityClass with name ${String(name)} was found`)
  spec['priority'] = value
  spec['preemptionPolicy'] ??= found?.['preemptionPolicy'] ?? 'PreemptLowerPriority'
}

function listOf(object: Json, field: string): unknown[] {
  const value = object[field]
  return Array.isArray(value) ? value : []
}
