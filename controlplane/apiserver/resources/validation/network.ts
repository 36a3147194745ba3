// Endpoints, endpoint slices, leases, budgets and ingresses (pkg/apis/discovery/validation and the like).
import type { AnyObject, Endpoints, EndpointSlice, Event, LabelSelector, Lease } from '../../../../api/types.ts'
import { isRecord, valueAt } from '../../object.ts'
import { familyOf } from '../allocation/address-range.ts'
import type { FieldErrors } from './errors.ts'
import { dnsLabel, dnsSubdomain, ipAddress, portNumber } from './formats.ts'
import { validateLabelSelector } from './selectors.ts'
import type { Sent } from './sent.ts'

const protocols = ['SCTP', 'TCP', 'UDP']
const endpointsMax = 1000
const addressesMax = 100

export function validateEndpointSlice({ addressType, endpoints, ports }: Sent<EndpointSlice>, errors: FieldErrors): void {
  errors.oneOf('addressType', addressType, ['FQDN', 'IPv4', 'IPv6'])
  if ((endpoints ?? []).length > endpointsMax) errors.tooMany('endpoints', (endpoints ?? []).length, endpointsMax)
  for (const [i, { addresses = [], hostname }] of (endpoints ?? []).entries()) {
    const at = `endpoints[${i}]`
    if (addresses.length === 0) errors.required(`${at}.addresses`, 'must contain at least 1 address')
    if (addresses.length > addressesMax) errors.tooMany(`${at}.addresses`, addresses.length, addressesMax)
    addresses.forEach((address, j) => validateAddress(address, addressType, `${at}.addresses[${j}]`, errors))
    if (hostname !== undefined) errors.each(`${at}.hostname`, hostname, dnsLabel(hostname))
  }
  const names = new Set<string>()
  for (const [i, { name = '', port, protocol }] of (ports ?? []).entries()) {
    const at = `ports[${i}]`
    if (name !== '') errors.each(`${at}.name`, name, dnsLabel(name))
    if (names.has(name)) errors.duplicate(`${at}.name`, name)
    names.add(name)
    errors.oneOf(`${at}.protocol`, protocol, protocols)
    if (port !== undefined) errors.each(`${at}.port`, port, portNumber(port))
  }
}

function validateAddress(address: string, type: EndpointSlice['addressType'] | undefined, at: string, errors: FieldErrors): void {
  if (type === 'FQDN') errors.each(at, address, dnsSubdomain(address))
  else if (familyOf(address) === undefined) errors.each(at, address, ipAddress(address))
  else if ((type === 'IPv4' || type === 'IPv6') && familyOf(address) !== type) errors.invalid(at, address, `must be an ${type} address`)
  else if (/^(127\.|169\.254\.|0\.0\.0\.0$|22[4-9]\.|23\d\.|::1$|::$|fe80:|ff02:)/i.test(address)) errors.invalid(at, address, 'may not be in the unspecified, loopback, link-local or multicast range')
}

export function validateEndpointSliceUpdate({ addressType }: Sent<EndpointSlice>, { addressType: old }: Sent<EndpointSlice>, errors: FieldErrors): void {
  if (addressType !== old) errors.immutable('addressType', addressType)
}

export function validateEndpoints({ subsets = [] }: Sent<Endpoints>, errors: FieldErrors): void {
  for (const [i, { addresses = [], notReadyAddresses = [], ports = [] }] of subsets.entries()) {
    const at = `subsets[${i}]`
    if (addresses.length + notReadyAddresses.length === 0) errors.required(at, 'must specify `addresses` or `notReadyAddresses`')
    for (const [field, list] of Object.entries({ addresses, notReadyAddresses })) {
      list.forEach(({ ip = '' }, j) => {
        if (ip === '') errors.required(`${at}.${field}[${j}].ip`)
        else validateAddress(ip, familyOf(ip) ?? 'IPv4', `${at}.${field}[${j}].ip`, errors)
      })
    }
    for (const [j, { name = '', port = 0, protocol }] of ports.entries()) {
      if (name === '' && ports.length > 1) errors.required(`${at}.ports[${j}].name`)
      else if (name !== '') errors.each(`${at}.ports[${j}].name`, name, dnsLabel(name))
      errors.each(`${at}.ports[${j}].port`, port, portNumber(port))
      errors.oneOf(`${at}.ports[${j}].protocol`, protocol, protocols)
    }
  }
}

export function validateLease({ spec }: Lease, errors: FieldErrors): void {
  if (spec?.leaseDurationSeconds !== undefined && spec.leaseDurationSeconds <= 0) errors.invalid('spec.leaseDurationSeconds', spec.leaseDurationSeconds, 'must be greater than 0')
  if (spec?.leaseTransitions !== undefined && spec.leaseTransitions < 0) errors.invalid('spec.leaseTransitions', spec.leaseTransitions, 'must be greater than or equal to 0')
}

export function validateEvent({ metadata, involvedObject }: Event, errors: FieldErrors): void {
  const { namespace = '' } = involvedObject ?? {}
  if (namespace !== '' && namespace !== metadata.namespace) errors.invalid('involvedObject.namespace', namespace, 'does not match event.namespace')
}

function selectorAt(object: AnyObject, path: string): LabelSelector | undefined {
  const selector = valueAt(object, path)
  return isRecord(selector) ? selector : undefined
}

export function validateDisruptionBudget(budget: AnyObject, errors: FieldErrors): void {
  const [least, most] = [valueAt(budget, '.spec.minAvailable'), valueAt(budget, '.spec.maxUnavailable')]
  if (least !== undefined && most !== undefined) errors.invalid('spec', budget['spec'], 'minAvailable and maxUnavailable cannot be both set')
  for (const [field, value] of Object.entries({ minAvailable: least, maxUnavailable: most })) {
    if (typeof value === 'number') errors.nonNegative(`spec.${field}`, value)
    else if (typeof value === 'string' && !/^[0-9]+%$/.test(value)) errors.invalid(`spec.${field}`, value, `a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')`)
    else if (typeof value === 'string' && Number.parseInt(value, 10) > 100) errors.invalid(`spec.${field}`, value, 'must not be greater than 100%')
  }
  const evicted = valueAt(budget, '.spec.unhealthyPodEvictionPolicy')
  if (evicted !== undefined && evicted !== 'AlwaysAllow' && evicted !== 'IfHealthyBudget') errors.unsupported('spec.unhealthyPodEvictionPolicy', evicted, ['AlwaysAllow', 'IfHealthyBudget'])
  validateLabelSelector(selectorAt(budget, '.spec.selector'), 'spec.selector', errors)
}
