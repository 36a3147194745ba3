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
const classes = 'priorityclasses.scheduling.k8s.io'

/** Of several classes that call themselves the default, the one of the lowest value. */
function defaultClass(context: WriteContext): ApiObject | undefined {
  return (context.list(classes) as readonly ApiObject[]).filter((one) => one['globalDefault'] === true).toSorted((a, b) => Number(a['value']) - Number(b['value']))[0]
}

function setPriority(pod: ApiObject, spec: Json, context: WriteContext): void {
  const refuse = (why: string): Error => forbidden(pods, pod.metadata.name ?? '', why)
  const named = typeof spec['priorityClassName'] === 'string' ? spec['priorityClassName'] : ''
  const found = named === '' ? defaultClass(context) : (context.lookup(classes, undefined, named) as ApiObject | undefined)
  const name = named === '' ? (found?.metadata.name ?? '') : named
  if (name !== '') spec['priorityClassName'] = name
  const value = found?.['value'] ?? (name === '' ? 0 : systemPriorities[name])
  if (typeof value !== 'number') throw refuse(`no PriorityClass with name ${name} was found`)
  if (spec['priority'] !== undefined && spec['priority'] !== value) throw refuse(`the integer value of priority (${String(spec['priority'])}) must not be provided in pod spec; priority admission controller computed ${value} from the given PriorityClass name`)
  spec['priority'] = value
  const policy = typeof found?.['preemptionPolicy'] === 'string' ? found['preemptionPolicy'] : 'PreemptLowerPriority'
  if (spec['preemptionPolicy'] !== undefined && spec['preemptionPolicy'] !== policy) throw refuse(`the string value of PreemptionPolicy (${String(spec['preemptionPolicy'])}) must not be provided in pod spec; priority admission controller computed ${policy} from the given PriorityClass name`)
  spec['preemptionPolicy'] = policy
}

/** Only one class is what pods get that name none. */
export function checkPriorityClass(priorityClass: ApiObject, context: WriteContext): void {
  if (priorityClass['globalDefault'] !== true) return
  const other = defaultClass(context)
  if (other === undefined || other.metadata.name === priorityClass.metadata.name) return
  throw forbidden({ group: 'scheduling.k8s.io', plural: 'priorityclasses' }, priorityClass.metadata.name ?? '', `PriorityClass ${other.metadata.name ?? ''} is already marked as default. Only one default can exist`)
}

function listOf(object: Json, field: string): unknown[] {
  const value = object[field]
  return Array.isArray(value) ? value : []
}
