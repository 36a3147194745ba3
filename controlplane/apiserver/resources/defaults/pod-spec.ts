// What a pod's spec means where it says nothing (pkg/apis/core/v1/defaults.go). Runs on whatever a client sent: the
// schema has seen to types, but anything may be missing.
import type { Container, Pod, PodSpec, PodTemplateSpec, Probe, Volume } from '../../../../api/types.ts'

/** Fills in a pod: everything of its spec, and what templates leave open. */
export function defaultPod(pod: Pod): void {
  const spec = (pod.spec ??= { containers: [] })
  defaultPodSpec(spec)
  spec.enableServiceLinks ??= true
  for (const container of [...spec.containers, ...(spec.initContainers ?? [])]) {
    requestLimits(container)
    if (spec.hostNetwork === true) for (const port of container.ports ?? []) port.hostPort ??= port.containerPort
  }
}

/** Fills in the template of a workload; an absent one becomes an empty one, for validation to speak about. */
export function defaultTemplate(owner: { template?: PodTemplateSpec }): PodTemplateSpec {
  const template = (owner.template ??= { spec: { containers: [] } })
  template.metadata ??= {}
  defaultPodSpec((template.spec ??= { containers: [] }))
  return template
}

function defaultPodSpec(spec: PodSpec): void {
  spec.containers ??= []
  spec.restartPolicy ??= 'Always'
  spec.terminationGracePeriodSeconds ??= 30
  spec.dnsPolicy ??= 'ClusterFirst'
  spec.schedulerName ??= 'default-scheduler'
  spec.securityContext ??= {}
  if (spec.serviceAccountName === undefined && spec.serviceAccount !== undefined) spec.serviceAccountName = spec.serviceAccount
  if (spec.serviceAccountName !== undefined) spec.serviceAccount = spec.serviceAccountName
  for (const container of [...spec.containers, ...(spec.initContainers ?? []), ...(spec.ephemeralContainers ?? [])]) defaultContainer(container)
  for (const volume of spec.volumes ?? []) defaultVolume(volume)
}

function defaultContainer(container: Container): void {
  container.imagePullPolicy ??= isLatest(container.image ?? '') ? 'Always' : 'IfNotPresent'
  container.resources ??= {}
  container.terminationMessagePath ??= '/dev/termination-log'
  container.terminationMessagePolicy ??= 'File'
  for (const port of container.ports ?? []) port.protocol ??= 'TCP'
  for (const { valueFrom } of container.env ?? []) {
    if (valueFrom?.fieldRef !== undefined) valueFrom.fieldRef.apiVersion ??= 'v1'
    if (valueFrom?.resourceFieldRef !== undefined) valueFrom.resourceFieldRef.divisor ??= '0'
  }
  for (const probe of [container.livenessProbe, container.readinessProbe, container.startupProbe]) {
    if (probe !== undefined) defaultProbe(probe)
  }
  for (const handler of [container.lifecycle?.postStart, container.lifecycle?.preStop]) defaultHTTPGet(handler?.httpGet)
}

function defaultProbe(probe: Probe): void {
  // Zero is what Go takes for "not given".
  probe.timeoutSeconds ||= 1
  probe.periodSeconds ||= 10
  probe.successThreshold ||= 1
  probe.failureThreshold ||= 3
  defaultHTTPGet(probe.httpGet)
  if (probe.grpc !== undefined) probe.grpc.service ??= ''
}

function defaultHTTPGet(action: Probe['httpGet']): void {
  if (action === undefined) return
  action.path ||= '/'
  action.scheme ||= 'HTTP'
}

/** Whether an image is asked for by the tag that moves: `latest`, or none at all and no digest either. */
function isLatest(image: string): boolean {
  if (image.includes('@')) return false
  const name = image.slice(image.lastIndexOf('/') + 1)
  const colon = name.indexOf(':')
  return colon < 0 || name.slice(colon + 1) === 'latest'
}

/** A limit without a request asks for as much. */
function requestLimits({ resources }: Container): void {
  if (resources?.limits === undefined) return
  const requests = { ...resources.limits, ...resources.requests }
  if (Object.keys(requests).length > 0) resources.requests = requests
}

const fileMode = 0o644

function defaultVolume(volume: Volume): void {
  if (Object.keys(volume).every((key) => key === 'name')) volume.emptyDir = {}
  if (volume.hostPath !== undefined) volume.hostPath.type ??= ''
  for (const source of [volume.configMap, volume.secret, volume.downwardAPI, volume.projected]) {
    if (source !== undefined) source.defaultMode ??= fileMode
  }
  const files = [...(volume.downwardAPI?.items ?? []), ...(volume.projected?.sources ?? []).flatMap(({ downwardAPI }) => downwardAPI?.items ?? [])]
  for (const { fieldRef, resourceFieldRef } of files) {
    if (fieldRef !== undefined) fieldRef.apiVersion ??= 'v1'
    if (resourceFieldRef !== undefined) resourceFieldRef.divisor ??= '0'
  }
  for (const { serviceAccountToken } of volume.projected?.sources ?? []) {
    if (serviceAccountToken !== undefined) serviceAccountToken.expirationSeconds ??= 3600
  }
}
