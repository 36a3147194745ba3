// Containers (pkg/apis/core/validation: validateContainers and what it calls).
import { parseQuantity } from '../../../../api/quantity.ts'
import type { Container, EnvVar, LifecycleHandler, PodSpec, Probe, ProbeHandler, Resources } from '../../../../api/types.ts'
import type { FieldErrors } from './errors.ts'
import { configKey, dnsLabel, dnsSubdomain, environmentName, portName, portNumber, portNumberOrName, qualifiedName, relativePath } from './formats.ts'
import type { Sent } from './sent.ts'

export type Kind = 'containers' | 'initContainers' | 'ephemeralContainers'

/** All three lists of a pod's spec; names are unique over all of them. */
export function validateContainers(spec: PodSpec, path: string, errors: FieldErrors): void {
  if (spec.containers.length === 0) errors.required(`${path}.containers`)
  const names = new Set<string>()
  for (const kind of ['initContainers', 'containers', 'ephemeralContainers'] as const) {
    for (const [i, container] of (spec[kind] ?? []).entries()) {
      const at = `${path}.${kind}[${i}]`
      validateContainer(container, at, kind, spec, errors)
      if (names.has(container.name)) errors.duplicate(`${at}.name`, container.name)
      names.add(container.name)
    }
  }
  validateHostPorts(spec, path, errors)
}

function validateContainer(container: Sent<Container>, at: string, kind: Kind, spec: PodSpec, errors: FieldErrors): void {
  const { name = '', image = '', imagePullPolicy, terminationMessagePolicy, restartPolicy } = container
  if (name === '') errors.required(`${at}.name`)
  else errors.each(`${at}.name`, name, dnsLabel(name))
  if (image === '') errors.required(`${at}.image`)
  else if (image.trim() !== image) errors.invalid(`${at}.image`, image, 'must not have leading or trailing whitespace')
  errors.oneOf(`${at}.imagePullPolicy`, imagePullPolicy, ['Always', 'IfNotPresent', 'Never'])
  errors.oneOf(`${at}.terminationMessagePolicy`, terminationMessagePolicy, ['File', 'FallbackToLogsOnError'])
  if (kind === 'initContainers' && restartPolicy !== undefined && restartPolicy !== 'Always') errors.unsupported(`${at}.restartPolicy`, restartPolicy, ['Always'])
  validatePorts(container, at, errors)
  validateEnvironment(container, at, errors)
  validateMounts(container, at, spec, errors)
  validateResources(container, at, errors)
  validateProbes(container, at, kind, errors)
  if (container.securityContext?.privileged === true && container.securityContext.allowPrivilegeEscalation === false) {
    errors.invalid(`${at}.securityContext`, container.securityContext, 'cannot set `allowPrivilegeEscalation` to false and `privileged` to true')
  }
}

const protocols = ['TCP', 'UDP', 'SCTP']

function validatePorts({ ports = [] }: Sent<Container>, at: string, errors: FieldErrors): void {
  const names = new Set<string>()
  for (const [i, { name = '', containerPort, hostPort, protocol }] of ports.entries()) {
    const path = `${at}.ports[${i}]`
    if (name !== '') {
      const wrong = portName(name)
      errors.each(`${path}.name`, name, wrong)
      if (wrong.length === 0 && names.has(name)) errors.duplicate(`${path}.name`, name)
      names.add(name)
    }
    if (containerPort === undefined || containerPort === 0) errors.required(`${path}.containerPort`)
    else errors.each(`${path}.containerPort`, containerPort, portNumber(containerPort))
    if (hostPort !== undefined && hostPort !== 0) errors.each(`${path}.hostPort`, hostPort, portNumber(hostPort))
    errors.oneOf(`${path}.protocol`, protocol, protocols)
  }
}

/** No two containers of a pod have the same port of the host; with the host's network, it is the port itself. */
function validateHostPorts({ containers, hostNetwork }: PodSpec, path: string, errors: FieldErrors): void {
  const used = new Set<string>()
  for (const [i, { ports = [] }] of containers.entries()) {
    for (const [j, { containerPort, hostPort = 0, hostIP = '', protocol = 'TCP' }] of ports.entries()) {
      if (hostPort === 0) continue
      if (hostNetwork === true && hostPort !== containerPort) errors.invalid(`${path}.containers[${i}].ports[${j}].containerPort`, containerPort, 'must match `hostPort` when `hostNetwork` is true')
      const key = `${protocol}/${hostIP}/${hostPort}`
      if (used.has(key)) errors.duplicate(`${path}.containers[${i}].ports[${j}].hostPort`, key)
      used.add(key)
    }
  }
}

function validateEnvironment({ env = [], envFrom = [] }: Sent<Container>, at: string, errors: FieldErrors): void {
  for (const [i, variable] of env.entries()) {
    const path = `${at}.env[${i}]`
    const { name = '' } = variable
    if (name === '') errors.required(`${path}.name`)
    else errors.each(`${path}.name`, name, environmentName(name))
    if (variable.valueFrom !== undefined) validateValueFrom(variable, `${path}.valueFrom`, errors)
  }
  for (const [i, { prefix = '', configMapRef, secretRef }] of envFrom.entries()) {
    const path = `${at}.envFrom[${i}]`
    if (prefix !== '') errors.each(`${path}.prefix`, prefix, environmentName(prefix))
    if (configMapRef !== undefined && secretRef !== undefined) errors.invalid(path, '', 'may not have more than one field specified at a time')
    if (configMapRef === undefined && secretRef === undefined) errors.invalid(path, '', 'must specify one of: `configMapRef` or `secretRef`')
    for (const [field, reference] of Object.entries({ configMapRef, secretRef })) {
      if (reference !== undefined && (reference.name ?? '') === '') errors.required(`${path}.${field}.name`)
    }
  }
}

function validateValueFrom({ value = '', valueFrom = {} }: Sent<EnvVar>, path: string, errors: FieldErrors): void {
  const sources = Object.keys(valueFrom)
  if (sources.length === 0) errors.invalid(path, '', 'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef`, or `fileKeyRef`')
  if (sources.length > 1) errors.invalid(path, '', 'may not have more than one field specified at a time')
  if (value !== '') errors.invalid(path, '', 'may not be specified when `value` is not empty')
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = valueFrom
  if (fieldRef !== undefined) validateFieldPath(fieldRef.fieldPath, `${path}.fieldRef.fieldPath`, environmentFields, errors)
  if (resourceFieldRef !== undefined && (resourceFieldRef.resource ?? '') === '') errors.required(`${path}.resourceFieldRef.resource`)
  for (const [field, reference] of Object.entries({ configMapKeyRef, secretKeyRef })) {
    if (reference === undefined) continue
    if ((reference.name ?? '') === '') errors.required(`${path}.${field}.name`)
    const { key = '' } = reference
    if (key === '') errors.required(`${path}.${field}.key`)
    else errors.each(`${path}.${field}.key`, key, configKey(key))
  }
}

const environmentFields = ['metadata.name', 'metadata.namespace', 'metadata.uid', 'spec.nodeName', 'spec.serviceAccountName', 'status.hostIP', 'status.hostIPs', 'status.podIP', 'status.podIPs']

/** A field that the downward API gives out. */
export function validateFieldPath(fieldPath: string | undefined, at: string, supported: readonly string[], errors: FieldErrors): void {
  if (fieldPath === undefined || fieldPath === '') errors.required(at)
  else if (!/^metadata\.(labels|annotations)\['.+'\]$/.test(fieldPath) && !supported.includes(fieldPath)) errors.unsupported(at, fieldPath, supported)
}

function validateMounts({ volumeMounts = [] }: Sent<Container>, at: string, { volumes = [] }: PodSpec, errors: FieldErrors): void {
  const known = new Set(volumes.map(({ name }) => name))
  const paths = new Set<string>()
  for (const [i, { name = '', mountPath = '', subPath = '', subPathExpr = '', mountPropagation }] of volumeMounts.entries()) {
    const path = `${at}.volumeMounts[${i}]`
    if (name === '') errors.required(`${path}.name`)
    else if (!known.has(name)) errors.notFound(`${path}.name`, name)
    if (mountPath === '') errors.required(`${path}.mountPath`)
    else if (paths.has(mountPath)) errors.invalid(`${path}.mountPath`, mountPath, 'must be unique')
    paths.add(mountPath)
    errors.each(`${path}.subPath`, subPath, relativePath(subPath))
    errors.each(`${path}.subPathExpr`, subPathExpr, relativePath(subPathExpr))
    if (subPath !== '' && subPathExpr !== '') errors.invalid(`${path}.subPathExpr`, subPathExpr, 'subPathExpr and subPath are mutually exclusive')
    if (mountPropagation !== undefined) errors.oneOf(`${path}.mountPropagation`, mountPropagation, ['None', 'HostToContainer', 'Bidirectional'])
  }
}

function validateResources({ resources = {} }: Sent<Container>, at: string, errors: FieldErrors): void {
  for (const field of ['limits', 'requests'] as const) validateResourceList(resources[field], `${at}.resources.${field}`, errors)
  const limits = new Map(Object.entries(resources.limits ?? {}))
  for (const [name, request] of Object.entries(resources.requests ?? {})) {
    const limit = limits.get(name)
    const path = `${at}.resources.requests`
    if (limit !== undefined && parseQuantity(request) > parseQuantity(limit)) errors.invalid(path, String(request), `must be less than or equal to ${name} limit of ${limit}`)
    else if (limit === undefined && !mayOvercommit(name)) errors.required(`${at}.resources.limits`, 'Limit must be set for non overcommitable resources')
  }
}

/** A map of resource names to quantities that are not negative. */
export function validateResourceList(list: Resources | undefined, path: string, errors: FieldErrors): void {
  for (const [name, quantity] of Object.entries(list ?? {})) {
    errors.each(`${path}[${name}]`, name, qualifiedName(name))
    if (!name.includes('/') && !standard.has(name) && !name.startsWith('hugepages-')) errors.invalid(`${path}[${name}]`, name, 'must be a standard resource for containers')
    if (parseQuantity(quantity) < 0) errors.invalid(`${path}[${name}]`, String(quantity), 'must be greater than or equal to 0')
    else if (name.includes('/') && !Number.isInteger(parseQuantity(quantity))) errors.invalid(`${path}[${name}]`, String(quantity), 'must be an integer')
  }
}

const standard = new Set(['cpu', 'memory', 'ephemeral-storage'])

function mayOvercommit(name: string): boolean {
  return standard.has(name) || name.split('/')[0]?.endsWith('kubernetes.io') === true
}

function validateProbes(container: Sent<Container>, at: string, kind: Kind, errors: FieldErrors): void {
  const { livenessProbe, readinessProbe, startupProbe, lifecycle } = container
  const plainInit = kind === 'initContainers' && container.restartPolicy !== 'Always'
  const probes: Record<string, unknown> = { lifecycle, livenessProbe, readinessProbe, startupProbe }
  if (plainInit || kind === 'ephemeralContainers') {
    for (const [field, value] of Object.entries(probes)) {
      if (value === undefined) continue
      if (kind === 'ephemeralContainers') errors.forbidden(`${at}.${field}`, 'cannot be set for an Ephemeral Container')
      else errors.forbidden(`${at}.${field}`, 'may not be set for init containers without restartPolicy=Always')
    }
    return
  }
  if (livenessProbe !== undefined) validateProbe(livenessProbe, `${at}.livenessProbe`, true, errors)
  if (readinessProbe !== undefined) validateProbe(readinessProbe, `${at}.readinessProbe`, false, errors)
  if (startupProbe !== undefined) validateProbe(startupProbe, `${at}.startupProbe`, true, errors)
  for (const [field, handler] of Object.entries({ postStart: lifecycle?.postStart, preStop: lifecycle?.preStop })) {
    if (handler !== undefined) validateHandler(handler, `${at}.lifecycle.${field}`, errors)
  }
}

function validateProbe(probe: Sent<Probe>, at: string, onlyOneSuccess: boolean, errors: FieldErrors): void {
  validateHandler(probe, at, errors)
  for (const field of ['initialDelaySeconds', 'timeoutSeconds', 'periodSeconds', 'successThreshold', 'failureThreshold'] as const) errors.nonNegative(`${at}.${field}`, probe[field])
  if (onlyOneSuccess && (probe.successThreshold ?? 1) > 1) errors.invalid(`${at}.successThreshold`, probe.successThreshold, 'must be 1')
  if (probe.terminationGracePeriodSeconds !== undefined && probe.terminationGracePeriodSeconds <= 0) {
    errors.invalid(`${at}.terminationGracePeriodSeconds`, probe.terminationGracePeriodSeconds, 'must be greater than 0')
  }
}

function validateHandler(handler: Sent<ProbeHandler & LifecycleHandler>, at: string, errors: FieldErrors): void {
  const { exec, httpGet, tcpSocket, grpc, sleep } = handler
  const given = Object.entries({ exec, httpGet, tcpSocket, grpc, sleep }).filter(([, value]) => value !== undefined)
  if (given.length === 0) errors.required(at, 'must specify a handler type')
  for (const [field] of given.slice(1)) errors.forbidden(`${at}.${field}`, 'may not specify more than 1 handler type')
  if (exec !== undefined && (exec.command ?? []).length === 0) errors.required(`${at}.exec.command`)
  if (httpGet !== undefined) {
    if ((httpGet.path ?? '') === '') errors.required(`${at}.httpGet.path`)
    errors.oneOf(`${at}.httpGet.scheme`, httpGet.scheme, ['HTTP', 'HTTPS'])
  }
  for (const [field, action] of Object.entries({ httpGet, tcpSocket })) {
    if (action === undefined) continue
    if (action.port === undefined) errors.required(`${at}.${field}.port`)
    else errors.each(`${at}.${field}.port`, action.port, portNumberOrName(action.port))
  }
  if (grpc !== undefined) errors.each(`${at}.grpc.port`, grpc.port ?? 0, portNumber(grpc.port ?? 0))
  errors.nonNegative(`${at}.sleep.seconds`, sleep?.seconds)
}

/** A name of another object that a pod refers to. */
export function validateReference(name: string | undefined, path: string, errors: FieldErrors): void {
  if (name === undefined || name === '') errors.required(path)
  else errors.each(path, name, dnsSubdomain(name))
}
