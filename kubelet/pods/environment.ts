/** A container's environment: service links, envFrom, env with references, and `$(VAR)` expansion. Pure. */
import { parseQuantity } from '../../api/quantity.ts'
import type { ConfigMap, Container, EnvVar, Pod, Secret, Service } from '../../api/types.ts'

export interface EnvironmentSources {
  readonly pod: Pod
  readonly nodeName: string
  readonly podIPs: readonly string[]
  readonly hostIPs: readonly string[]
  /** What a container without a limit may use at most, by resource name. */
  readonly allocatable: Readonly<Record<string, string>>
  readonly services: readonly Service[]
  readonly configMap: (name: string) => ConfigMap | undefined
  readonly secret: (name: string) => Secret | undefined
}

/** A container that cannot be made from what its pod refers to (reason CreateContainerConfigError). */
export class ContainerConfigError extends Error {
  override readonly name = 'ContainerConfigError'
}

/** `$(NAME)` becomes the value of NAME; `$$` is one `$`; what is not defined stays as it is (third_party/forked/golang/expansion). */
export function expand(text: string, variables: ReadonlyMap<string, string>): string {
  return text.replace(/\$(?:\$|\(([^)]*)\))/g, (whole, name: string | undefined) => (name === undefined ? '$' : (variables.get(name) ?? whole)))
}

function prefixOf(service: string): string {
  return service.toUpperCase().replaceAll('-', '_')
}

function bracketed(address: string): string {
  return address.includes(':') ? `[${address}]` : address
}

function serviceVariables(service: Service): Array<[string, string]> {
  const address = service.spec.clusterIP
  const [first, ...others] = service.spec.ports ?? []
  if (address === undefined || address === '' || address === 'None' || first === undefined) return []
  const prefix = prefixOf(service.metadata.name ?? '')
  const variables: Array<[string, string]> = [[`${prefix}_SERVICE_HOST`, address], [`${prefix}_SERVICE_PORT`, String(first.port)]]
  for (const { name, port } of [first, ...others]) {
    if (name !== undefined && name !== '') variables.push([`${prefix}_SERVICE_PORT_${prefixOf(name)}`, String(port)])
  }
  for (const [index, { port, protocol: named }] of [first, ...others].entries()) {
    const protocol = named ?? 'TCP'
    const url = `${protocol.toLowerCase()}://${bracketed(address)}:${port}`
    const key = `${prefix}_PORT_${port}_${protocol}`
    if (index === 0) variables.push([`${prefix}_PORT`, url])
    variables.push([key, url], [`${key}_PROTO`, protocol.toLowerCase()], [`${key}_PORT`, String(port)], [`${key}_ADDR`, address])
  }
  return variables
}

/** The Docker-links style variables of the services that existed when the container was made, and of `default/kubernetes` always. */
function serviceLinks({ pod, services }: EnvironmentSources): Map<string, string> {
  const links = pod.spec.enableServiceLinks !== false
  const wanted = services.filter(({ metadata }) =>
    (metadata.namespace === 'default' && metadata.name === 'kubernetes') || (links && metadata.namespace === pod.metadata.namespace))
  return new Map(wanted.flatMap(serviceVariables))
}

const isName = /^[-._a-zA-Z][-._a-zA-Z0-9]*$/

function addFrom(variables: Map<string, string>, container: Container, sources: EnvironmentSources): void {
  for (const { prefix = '', configMapRef, secretRef } of container.envFrom ?? []) {
    const ref = configMapRef ?? secretRef
    if (ref?.name === undefined) continue
    const object = configMapRef === undefined ? sources.secret(ref.name) : sources.configMap(ref.name)
    if (object === undefined) {
      if (ref.optional === true) continue
      throw new ContainerConfigError(`${configMapRef === undefined ? 'secret' : 'configmap'} "${ref.name}" not found`)
    }
    for (const [key, value] of Object.entries(object.data ?? {})) {
      const text = configMapRef === undefined ? Buffer.from(value, 'base64').toString() : value
      if (isName.test(prefix + key)) variables.set(prefix + key, text)
    }
  }
}

const keyed = /^metadata\.(labels|annotations)\['([^']+)'\]$/

/** The value of a downward API field; lists are comma separated. */
export function fieldValue(path: string, { pod, nodeName, podIPs, hostIPs }: Pick<EnvironmentSources, 'pod' | 'nodeName' | 'podIPs' | 'hostIPs'>): string {
  const { metadata, spec } = pod
  const match = keyed.exec(path)
  if (match !== null) return metadata[match[1] as 'labels' | 'annotations']?.[match[2] ?? ''] ?? ''
  switch (path) {
    case 'metadata.name': return metadata.name ?? ''
    case 'metadata.namespace': return metadata.namespace ?? ''
    case 'metadata.uid': return metadata.uid ?? ''
    case 'metadata.labels': return keyValueLines(metadata.labels)
    case 'metadata.annotations': return keyValueLines(metadata.annotations)
    case 'spec.nodeName': return spec.nodeName ?? nodeName
    case 'spec.serviceAccountName': return spec.serviceAccountName ?? 'default'
    case 'status.hostIP': return hostIPs[0] ?? ''
    case 'status.hostIPs': return hostIPs.join(',')
    case 'status.podIP': return podIPs[0] ?? ''
    case 'status.podIPs': return podIPs.join(',')
    default: throw new ContainerConfigError(`field path "${path}" is not supported`)
  }
}

/** `key="value"` lines in the order of keys, as the downward API writes labels and annotations. */
function keyValueLines(map: Readonly<Record<string, string>> | undefined): string {
  return Object.entries(map ?? {}).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => `${key}=${JSON.stringify(value)}`).join('\n')
}

/** A container's request or limit, divided by the divisor and rounded up. */
export function resourceValue(
  ref: { readonly resource: string; readonly containerName?: string; readonly divisor?: string | number }, container: Container | undefined,
  allocatable: Readonly<Record<string, string>>,
): string {
  const [kind, ...rest] = ref.resource.split('.')
  const resource = rest.join('.')
  if (container === undefined || (kind !== 'limits' && kind !== 'requests') || resource === '') {
    throw new ContainerConfigError(`resource "${ref.resource}" of container "${ref.containerName ?? ''}" is not supported`)
  }
  const { limits, requests } = container.resources ?? {}
  const given = kind === 'limits' ? (limits?.[resource] ?? allocatable[resource]) : (requests?.[resource] ?? limits?.[resource])
  const divisor = ref.divisor === undefined ? 1 : parseQuantity(String(ref.divisor)) || 1
  const quotient = (given === undefined ? 0 : parseQuantity(String(given))) / divisor
  // Quotients of decimal fractions (0.3 / 0.1) are not exact in binary.
  return String(Math.ceil(Number(quotient.toFixed(6))))
}

function referredValue(variable: EnvVar, container: Container, sources: EnvironmentSources): string | undefined {
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = variable.valueFrom ?? {}
  if (fieldRef !== undefined) return fieldValue(fieldRef.fieldPath, sources)
  if (resourceFieldRef !== undefined) {
    const { containerName } = resourceFieldRef
    const target = containerName === undefined || containerName === '' ? container
      : [...sources.pod.spec.containers, ...(sources.pod.spec.initContainers ?? [])].find(({ name }) => name === containerName)
    return resourceValue(resourceFieldRef, target, sources.allocatable)
  }
  const ref = configMapKeyRef ?? secretKeyRef
  if (ref === undefined) return undefined
  const kind = configMapKeyRef === undefined ? 'secret' : 'configmap'
  const name = ref.name ?? ''
  const object = configMapKeyRef === undefined ? sources.secret(name) : sources.configMap(name)
  const value = object?.data?.[ref.key]
  if (value !== undefined) return kind === 'secret' ? Buffer.from(value, 'base64').toString() : value
  if (ref.optional === true) return undefined
  throw new ContainerConfigError(object === undefined ? `${kind} "${name}" not found` : `couldn't find key ${ref.key} in ${kind} ${sources.pod.metadata.namespace}/${name}`)
}

/** Later ones win: service links, then `envFrom`, then `env`. */
export function environmentOf(container: Container, sources: EnvironmentSources): Map<string, string> {
  const variables = new Map<string, string>()
  addFrom(variables, container, sources)
  const links = serviceLinks(sources)
  const own = new Map<string, string>()
  for (const variable of container.env ?? []) {
    const known = new Map([...links, ...variables, ...own])
    const value = variable.valueFrom === undefined ? expand(variable.value ?? '', known) : referredValue(variable, container, sources)
    if (value !== undefined) own.set(variable.name, value)
  }
  return new Map([...links, ...variables, ...own])
}
