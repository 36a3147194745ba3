// Network policies (pkg/apis/networking/validation).
import { Address4, Address6 } from 'ip-address'
import type { NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort } from '../../../../api/types.ts'
import type { FieldErrors } from './errors.ts'
import { portNumber, portNumberOrName } from './formats.ts'
import { validateLabelSelector } from './selectors.ts'
import type { Sent } from './sent.ts'

export function validateNetworkPolicy({ spec = {} }: Sent<NetworkPolicy>, errors: FieldErrors): void {
  validateLabelSelector(spec.podSelector, 'spec.podSelector', errors)
  for (const [i, { from = [], ports = [] }] of (spec.ingress ?? []).entries()) validateRule({ peers: from, ports }, `spec.ingress[${i}]`, 'from', errors)
  for (const [i, { to = [], ports = [] }] of (spec.egress ?? []).entries()) validateRule({ peers: to, ports }, `spec.egress[${i}]`, 'to', errors)
  const types = spec.policyTypes ?? []
  if (types.length > 2) errors.invalid('spec.policyTypes', types, 'may not specify more than two policyTypes')
  for (const [i, type] of types.entries()) if (type !== 'Ingress' && type !== 'Egress') errors.unsupported(`spec.policyTypes[${i}]`, type, ['Egress', 'Ingress'])
}

interface Rule {
  readonly peers: readonly Sent<NetworkPolicyPeer>[]
  readonly ports: readonly Sent<NetworkPolicyPort>[]
}

function validateRule({ peers, ports }: Rule, at: string, field: 'from' | 'to', errors: FieldErrors): void {
  for (const [i, port] of ports.entries()) validatePort(port, `${at}.ports[${i}]`, errors)
  for (const [i, peer] of peers.entries()) validatePeer(peer, `${at}.${field}[${i}]`, errors)
}

function validatePort({ protocol, port, endPort }: Sent<NetworkPolicyPort>, at: string, errors: FieldErrors): void {
  if (protocol !== undefined) errors.oneOf(`${at}.protocol`, protocol, ['SCTP', 'TCP', 'UDP'])
  if (port !== undefined) errors.each(`${at}.port`, port, portNumberOrName(port))
  if (endPort === undefined) return
  if (port === undefined) errors.required(`${at}.endPort`, 'may not be specified when `port` is not specified')
  else if (typeof port === 'string') errors.invalid(`${at}.endPort`, endPort, 'may not be specified when `port` is non-numeric')
  else if (endPort < port) errors.invalid(`${at}.endPort`, endPort, 'must be greater than or equal to `port`')
  else errors.each(`${at}.endPort`, endPort, portNumber(endPort))
}

function validatePeer({ podSelector, namespaceSelector, ipBlock }: Sent<NetworkPolicyPeer>, at: string, errors: FieldErrors): void {
  if (podSelector !== undefined) validateLabelSelector(podSelector, `${at}.podSelector`, errors)
  if (namespaceSelector !== undefined) validateLabelSelector(namespaceSelector, `${at}.namespaceSelector`, errors)
  const selects = podSelector !== undefined || namespaceSelector !== undefined
  if (ipBlock === undefined) {
    if (!selects) errors.required(at, 'must specify a peer')
    return
  }
  if (selects) errors.forbidden(at, 'may not specify both ipBlock and another peer')
  const { cidr = '', except = [] } = ipBlock
  const block = parseCidr(cidr)
  if (cidr === '') errors.required(`${at}.ipBlock.cidr`)
  else if (block === undefined) errors.invalid(`${at}.ipBlock.cidr`, cidr, notCidr)
  for (const [i, text] of except.entries()) {
    const hole = parseCidr(text)
    if (hole === undefined) errors.invalid(`${at}.ipBlock.except[${i}]`, text, notCidr)
    else if (block !== undefined && !isStrictlyWithin(hole, block)) errors.invalid(`${at}.ipBlock.except[${i}]`, text, 'must be a strict subset of `cidr`')
  }
}

const notCidr = 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)'

function parseCidr(text: string): Address4 | Address6 | undefined {
  if (!/^[0-9a-fA-F:.]+\/\d{1,3}$/.test(text)) return undefined
  try {
    return text.includes(':') ? new Address6(text) : new Address4(text)
  } catch {
    return undefined // it is none: that is the answer
  }
}

function isStrictlyWithin(hole: Address4 | Address6, block: Address4 | Address6): boolean {
  if (hole instanceof Address4) return block instanceof Address4 && hole.isInSubnet(block) && hole.subnetMask > block.subnetMask
  return block instanceof Address6 && hole.isInSubnet(block) && hole.subnetMask > block.subnetMask
}
