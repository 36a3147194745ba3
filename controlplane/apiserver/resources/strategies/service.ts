// Services: what is filled in, what an update keeps, and the addresses and ports that are taken for them.
import type { IPFamily, Service } from '../../../../api/types.ts'
import type { Strategy } from '../../descriptor.ts'
import { equalJson } from '../../object.ts'
import { familyOf } from '../allocation/address-range.ts'
import type { ClusterIPs } from '../allocation/cluster-ips.ts'
import { needsHealthCheck, needsNodePorts } from '../allocation/node-ports.ts'
import type { NodePorts } from '../allocation/node-ports.ts'
import type { FieldErrors } from '../validation/errors.ts'
import { validateService, validateServiceUpdate } from '../validation/service.ts'
import { serviceWarnings } from '../validation/warnings.ts'
import { strategyOf } from './rules.ts'

export function serviceStrategy(clusterIPs: ClusterIPs, nodePorts: NodePorts): Strategy<Service> {
  const rules = {
    defaults: defaultService,
    validate: (service: Service, errors: FieldErrors) => validateService(service, clusterIPs.families, errors),
    validateUpdate: validateServiceUpdate,
    warnings: serviceWarnings,
  }
  return strategyOf<Service>(rules, {
    prepareForCreate(service) {
      service.status = { loadBalancer: {} }
      settleAddresses(service, clusterIPs.families)
    },
    prepareForUpdate(service, old) {
      keepAllocated(service, old)
      dropUnneeded(service, old)
      settleAddresses(service, clusterIPs.families)
    },
    reserve(service, old, context) {
      const addresses = clusterIPs.reserve(service, old, context)
      try {
        const ports = nodePorts.reserve(service, old, context)
        return {
          commit: () => [addresses, ports].forEach((reservation) => reservation.commit()),
          rollback: () => [addresses, ports].forEach((reservation) => reservation.rollback()),
        }
      } catch (error) {
        addresses.rollback()
        throw error
      }
    },
  })
}

function defaultService(service: Service): void {
  const spec = (service.spec ??= {})
  spec.sessionAffinity ??= 'None'
  if (spec.sessionAffinity === 'None') delete spec.sessionAffinityConfig
  else spec.sessionAffinityConfig = { clientIP: { timeoutSeconds: spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800 } }
  spec.type ??= 'ClusterIP'
  for (const port of spec.ports ?? []) {
    port.protocol ??= 'TCP'
    if (port.targetPort === undefined || port.targetPort === 0 || port.targetPort === '') port.targetPort = port.port
  }
  const external = spec.type === 'NodePort' || spec.type === 'LoadBalancer' || (spec.type === 'ClusterIP' && (spec.externalIPs ?? []).length > 0)
  if (external) spec.externalTrafficPolicy ??= 'Cluster'
  if (spec.type !== 'ExternalName') spec.internalTrafficPolicy ??= 'Cluster'
  if (spec.type === 'LoadBalancer') spec.allocateLoadBalancerNodePorts ??= true
}

/** `clusterIP` and `clusterIPs` say the same, and families and their policy follow. */
function settleAddresses({ spec }: Service, families: readonly IPFamily[]): void {
  if (spec.type === 'ExternalName') return
  if (spec.clusterIP === '') delete spec.clusterIP
  if (spec.clusterIP !== undefined && (spec.clusterIPs ?? []).length === 0) spec.clusterIPs = [spec.clusterIP]
  const headlessWithoutSelector = spec.clusterIPs?.[0] === 'None' && Object.keys(spec.selector ?? {}).length === 0
  spec.ipFamilyPolicy ??= headlessWithoutSelector ? 'RequireDualStack' : 'SingleStack'
  const chosen = [...(spec.ipFamilies ?? [])]
  if (chosen.length === 0) {
    const asked = (spec.clusterIPs ?? []).map(familyOf).filter((family) => family !== undefined)
    chosen.push(...(asked.length > 0 ? asked : families.slice(0, 1)))
  }
  const other: IPFamily = chosen[0] === 'IPv4' ? 'IPv6' : 'IPv4'
  const wantsBoth = spec.ipFamilyPolicy === 'RequireDualStack' ? headlessWithoutSelector || families.includes(other) : spec.ipFamilyPolicy === 'PreferDualStack' && families.includes(other)
  if (wantsBoth && chosen.length === 1) chosen.push(other)
  spec.ipFamilies = chosen
}

/** A client that leaves out what was allocated means to keep it. */
function keepAllocated(service: Service, old: Service): void {
  const { spec } = service
  if (spec.type !== 'ExternalName' && old.spec.type !== 'ExternalName') {
    const asked = spec.clusterIP ?? ''
    // Who knows only `clusterIP` changes that alone; `clusterIPs` follows (NormalizeClusterIPs).
    if (asked !== (old.spec.clusterIP ?? '') && equalJson(spec.clusterIPs, old.spec.clusterIPs)) {
      if (asked === '') delete spec.clusterIPs
      else spec.clusterIPs = [asked, ...(spec.clusterIPs ?? []).slice(1)]
    }
    if (asked === '' && (spec.clusterIPs ?? []).length === 0) {
      if (old.spec.clusterIP !== undefined) spec.clusterIP = old.spec.clusterIP
      if (old.spec.clusterIPs !== undefined) spec.clusterIPs = [...old.spec.clusterIPs]
    }
    if (old.spec.ipFamilies !== undefined) spec.ipFamilies ??= [...old.spec.ipFamilies]
    if (old.spec.ipFamilyPolicy !== undefined) spec.ipFamilyPolicy ??= old.spec.ipFamilyPolicy
  }
  if (needsNodePorts(service) && needsNodePorts(old)) {
    const used = new Set((spec.ports ?? []).map(({ protocol, nodePort }) => `${protocol}/${nodePort}`))
    for (const port of spec.ports ?? []) {
      const before = old.spec.ports?.find((one) => one.protocol === port.protocol && one.port === port.port)?.nodePort
      if (port.nodePort === undefined && before !== undefined && !used.has(`${port.protocol}/${before}`)) port.nodePort = before
    }
  }
  if (needsHealthCheck(service) && needsHealthCheck(old) && old.spec.healthCheckNodePort !== undefined) spec.healthCheckNodePort ??= old.spec.healthCheckNodePort
}

/** What the old type needed and the new one does not goes, unless the client changed it in the same breath. */
function dropUnneeded(service: Service, old: Service): void {
  const { spec } = service
  if (spec.type === 'ExternalName' && spec.clusterIP === '') delete spec.clusterIP
  if (spec.type === 'ExternalName' && old.spec.type !== 'ExternalName') {
    if (spec.clusterIP === old.spec.clusterIP) delete spec.clusterIP
    if (equalJson(spec.clusterIPs, old.spec.clusterIPs)) delete spec.clusterIPs
    delete spec.ipFamilies
    delete spec.ipFamilyPolicy
    delete spec.internalTrafficPolicy
  }
  if (needsNodePorts(old) && !needsNodePorts(service)) {
    const same = (spec.ports ?? []).every((port) => port.nodePort === undefined || old.spec.ports?.some((one) => one.nodePort === port.nodePort))
    if (same) for (const port of spec.ports ?? []) delete port.nodePort
  }
  if (needsHealthCheck(old) && !needsHealthCheck(service) && spec.healthCheckNodePort === old.spec.healthCheckNodePort) delete spec.healthCheckNodePort
  const isExternal = spec.type === 'NodePort' || spec.type === 'LoadBalancer' || (spec.externalIPs ?? []).length > 0
  if (!isExternal && spec.externalTrafficPolicy === old.spec.externalTrafficPolicy) delete spec.externalTrafficPolicy
  if (spec.type !== 'LoadBalancer' && spec.allocateLoadBalancerNodePorts === old.spec.allocateLoadBalancerNodePorts) delete spec.allocateLoadBalancerNodePorts
  if (spec.type !== 'LoadBalancer' && old.spec.type === 'LoadBalancer' && spec.loadBalancerClass === old.spec.loadBalancerClass) delete spec.loadBalancerClass
}
