// Services (pkg/apis/core/validation: ValidateService and what an update may change).
import type { IPFamily, Service, ServicePort } from '../../../../api/types.ts'
import { equalJson } from '../../object.ts'
import { familyOf } from '../allocation/address-range.ts'
import { needsNodePorts } from '../allocation/node-ports.ts'
import type { FieldErrors } from './errors.ts'
import { dns1035Label, dnsLabel, dnsSubdomain, ipAddress, portNumber, portNumberOrName } from './formats.ts'
import { validateLabels } from './selectors.ts'
import type { Sent } from './sent.ts'

const types = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort']

export function validateService(service: Service, families: readonly IPFamily[], errors: FieldErrors): void {
  const { metadata, spec } = service
  errors.each('metadata.name', metadata.name, dns1035Label(metadata.name ?? ''))
  errors.oneOf('spec.type', spec.type, types)
  validateLabels(spec.selector, 'spec.selector', errors)
  validatePorts(service, errors)
  validateAffinity(service, errors)
  validateExternal(service, errors)
  validateAddresses(service, families, errors)
}

function isHeadless({ spec }: Service): boolean {
  return spec.clusterIPs?.[0] === 'None'
}

function validatePorts(service: Service, errors: FieldErrors): void {
  const { spec } = service
  const ports = spec.ports ?? []
  if (ports.length === 0 && !isHeadless(service) && spec.type !== 'ExternalName') errors.required('spec.ports')
  const names = new Set<string>()
  const used = new Set<string>()
  const nodePorts = new Set<string>()
  for (const [i, port] of ports.entries()) {
    const at = `spec.ports[${i}]`
    validatePort(port, at, ports.length > 1, errors)
    const { name = '', protocol = 'TCP', nodePort = 0 } = port
    if (name !== '' && names.has(name)) errors.duplicate(`${at}.name`, name)
    names.add(name)
    const key = `${protocol}/${port.port}`
    if (used.has(key)) errors.duplicate(at, { protocol, port: port.port })
    used.add(key)
    if (nodePort === 0) continue
    if (!needsNodePorts(service) && spec.type !== 'LoadBalancer') errors.forbidden(`${at}.nodePort`, `may not be used when \`type\` is '${spec.type ?? ''}'`)
    else if (nodePorts.has(`${protocol}/${nodePort}`)) errors.duplicate(`${at}.nodePort`, nodePort)
    nodePorts.add(`${protocol}/${nodePort}`)
  }
}

function validatePort({ name = '', port = 0, protocol, targetPort }: Sent<ServicePort>, at: string, nameRequired: boolean, errors: FieldErrors): void {
  if (name !== '') errors.each(`${at}.name`, name, dnsLabel(name))
  else if (nameRequired) errors.required(`${at}.name`)
  errors.each(`${at}.port`, port, portNumber(port))
  errors.oneOf(`${at}.protocol`, protocol, ['SCTP', 'TCP', 'UDP'])
  // Where the port is missing, so is the default that comes from it.
  if (targetPort !== undefined && targetPort !== port) errors.each(`${at}.targetPort`, targetPort, portNumberOrName(targetPort))
}

const affinitySecondsMax = 86_400

function validateAffinity({ spec }: Service, errors: FieldErrors): void {
  errors.oneOf('spec.sessionAffinity', spec.sessionAffinity, ['ClientIP', 'None'])
  const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds
  if (seconds !== undefined && (seconds <= 0 || seconds > affinitySecondsMax)) {
    errors.invalid('spec.sessionAffinityConfig.clientIP.timeoutSeconds', seconds, `must be greater than 0 and less than ${affinitySecondsMax}`)
  }
}

const distributions = ['PreferClose', 'PreferSameNode', 'PreferSameZone']

function isSpecial(address: string): boolean {
  return /^(127\.|169\.254\.|0\.0\.0\.0$|22[4-9]\.|23\d\.|::1$|::$|fe80:|ff)/i.test(address)
}

function validateExternal(service: Service, errors: FieldErrors): void {
  const { spec } = service
  if (spec.type === 'ExternalName') {
    if (spec.clusterIP !== undefined || (spec.clusterIPs ?? []).length > 0) errors.forbidden('spec.clusterIPs', 'may not be set for ExternalName services')
    const name = (spec.externalName ?? '').replace(/\.$/, '')
    if (name === '') errors.required('spec.externalName')
    else errors.each('spec.externalName', spec.externalName, dnsSubdomain(name))
  }
  if (spec.type === 'LoadBalancer' && isHeadless(service)) errors.invalid('spec.clusterIPs[0]', 'None', "may not be set to 'None' for LoadBalancer services")
  if (spec.type === 'NodePort' && isHeadless(service)) errors.invalid('spec.clusterIPs[0]', 'None', "may not be set to 'None' for NodePort services")
  ;(spec.externalIPs ?? []).forEach((address, i) => {
    errors.each(`spec.externalIPs[${i}]`, address, ipAddress(address))
    if (isSpecial(address)) errors.invalid(`spec.externalIPs[${i}]`, address, 'may not be unspecified, loopback, link-local or multicast')
  })
  const isExternal = spec.type === 'NodePort' || spec.type === 'LoadBalancer' || (spec.type === 'ClusterIP' && (spec.externalIPs ?? []).length > 0)
  if (spec.externalTrafficPolicy !== undefined) {
    if (!isExternal) errors.invalid('spec.externalTrafficPolicy', spec.externalTrafficPolicy, 'may only be set for externally-accessible services')
    else errors.oneOf('spec.externalTrafficPolicy', spec.externalTrafficPolicy, ['Cluster', 'Local'])
  }
  if (spec.internalTrafficPolicy !== undefined) errors.oneOf('spec.internalTrafficPolicy', spec.internalTrafficPolicy, ['Cluster', 'Local'])
  if (spec.trafficDistribution !== undefined && !distributions.includes(spec.trafficDistribution)) errors.unsupported('spec.trafficDistribution', spec.trafficDistribution, distributions)
  ;(spec.loadBalancerSourceRanges ?? []).forEach((range, i) => {
    const at = `spec.loadBalancerSourceRanges[${i}]`
    if (spec.type !== 'LoadBalancer') errors.forbidden(at, "may only be used when `type` is 'LoadBalancer'")
    // Spaces around a range have been let through for ever.
    else if (!/\/\d+\s*$/.test(range) || familyOf(range.trim().replace(/\/\d+$/, '')) === undefined) errors.invalid(at, range, 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)')
  })
  if (spec.allocateLoadBalancerNodePorts !== undefined && spec.type !== 'LoadBalancer') errors.forbidden('spec.allocateLoadBalancerNodePorts', "may only be used when `type` is 'LoadBalancer'")
  if (spec.loadBalancerClass !== undefined && spec.type !== 'LoadBalancer') errors.forbidden('spec.loadBalancerClass', "may only be used when `type` is 'LoadBalancer'")
}

function validateAddresses(service: Service, configured: readonly IPFamily[], errors: FieldErrors): void {
  const { spec } = service
  if (spec.type === 'ExternalName') return
  const { ipFamilyPolicy, ipFamilies = [], clusterIPs = [], clusterIP } = spec
  const free = isHeadless(service) && Object.keys(spec.selector ?? {}).length === 0
  errors.oneOf('spec.ipFamilyPolicy', ipFamilyPolicy, ['PreferDualStack', 'RequireDualStack', 'SingleStack'])
  if (ipFamilyPolicy === 'RequireDualStack' && !free && configured.length < 2) errors.invalid('spec.ipFamilyPolicy', ipFamilyPolicy, 'this cluster is not configured for dual-stack services')
  for (const [i, family] of ipFamilies.entries()) {
    if (family !== 'IPv4' && family !== 'IPv6') errors.invalid(`spec.ipFamilies[${i}]`, family, 'supported families are IPv4, IPv6')
    else if (!free && !configured.includes(family)) errors.invalid(`spec.ipFamilies[${i}]`, family, 'not configured on this cluster')
    if (ipFamilies.indexOf(family) !== i) errors.duplicate(`spec.ipFamilies[${i}]`, family)
  }
  if (clusterIP !== undefined && clusterIPs.length > 0 && clusterIP !== clusterIPs[0]) errors.invalid('spec.clusterIPs', clusterIPs, 'first value must match `clusterIP`')
  for (const [i, address] of clusterIPs.entries()) {
    if (address === 'None') {
      if (clusterIPs.length > 1) errors.invalid(`spec.clusterIPs[${i}]`, address, "'None' must be the first and only value")
      continue
    }
    const family = familyOf(address)
    if (family === undefined) errors.each(`spec.clusterIPs[${i}]`, address, ipAddress(address))
    else if (ipFamilies[i] !== undefined && family !== ipFamilies[i]) errors.invalid(`spec.clusterIPs[${i}]`, address, `expected an ${ipFamilies[i]} value as indicated by \`ipFamilies[${i}]\``)
  }
}

/** Addresses stay as long as the Service needs any. */
export function validateServiceUpdate({ spec }: Service, { spec: old }: Service, errors: FieldErrors): void {
  if (spec.type === 'LoadBalancer' && old.type === 'LoadBalancer' && spec.loadBalancerClass !== old.loadBalancerClass) errors.invalid('spec.loadBalancerClass', spec.loadBalancerClass ?? null, 'may not change once set')
  if (spec.type === 'ExternalName' || old.type === 'ExternalName') return
  const before = old.clusterIPs ?? []
  const now = spec.clusterIPs ?? []
  before.forEach((address, i) => {
    // The secondary address goes with its family.
    const isGivenUp = i > 0 && now[i] === undefined && spec.ipFamilyPolicy === 'SingleStack'
    if (!isGivenUp && now[i] !== address) errors.invalid(`spec.clusterIPs[${i}]`, now, 'may not change once set')
  })
  if (!equalJson(spec.ipFamilies?.[0], old.ipFamilies?.[0]) && old.ipFamilies !== undefined) errors.invalid('spec.ipFamilies[0]', spec.ipFamilies, 'may not change once set')
}
