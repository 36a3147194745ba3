// Ingresses (pkg/apis/networking/validation).
import type { AnyObject } from '../../../../api/types.ts'
import { isRecord, valueAt } from '../../object.ts'
import { familyOf } from '../allocation/address-range.ts'
import type { FieldErrors } from './errors.ts'
import { dns1035Label, dnsSubdomain, portNumber } from './formats.ts'

type Json = Record<string, unknown>

const classAnnotation = 'kubernetes.io/ingress.class'
const pathTypes = ['Exact', 'ImplementationSpecific', 'Prefix']

export function validateIngress(ingress: AnyObject, errors: FieldErrors, old?: AnyObject): void {
  const rules = recordsOf(valueAt(ingress, '.spec.rules'))
  const fallback = valueAt(ingress, '.spec.defaultBackend')
  if (rules.length === 0 && fallback === undefined) errors.invalid('spec', [], 'either `defaultBackend` or `rules` must be specified')
  if (isRecord(fallback)) validateBackend(fallback, 'spec.defaultBackend', errors)
  rules.forEach((rule, i) => validateRule(rule, `spec.rules[${i}]`, errors))
  recordsOf(valueAt(ingress, '.spec.tls')).forEach(({ hosts }, i) => {
    for (const [j, host] of (Array.isArray(hosts) ? hosts : []).entries()) validateHost(String(host), `spec.tls[${i}].hosts[${j}]`, errors)
  })
  const named = valueAt(ingress, '.spec.ingressClassName')
  if (typeof named === 'string') errors.each('spec.ingressClassName', named, dnsSubdomain(named))
  // Objects from the time of the annotation may have both, new ones not.
  const annotated = ingress.metadata.annotations?.[classAnnotation]
  if (old === undefined && annotated !== undefined && named !== undefined) errors.invalid(`metadata.annotations[${classAnnotation}]`, annotated, 'can not be set when the class field is also set')
}

function recordsOf(list: unknown): Json[] {
  return Array.isArray(list) ? list.filter(isRecord) : []
}

function validateHost(host: string, at: string, errors: FieldErrors): void {
  if (host === '') return
  if (familyOf(host) !== undefined) errors.invalid(at, host, 'must be a DNS name, not an IP address')
  else errors.each(at, host, dnsSubdomain(host.replace(/^\*\./, '')))
}

function validateRule({ host, http }: Json, at: string, errors: FieldErrors): void {
  if (typeof host === 'string') validateHost(host, `${at}.host`, errors)
  if (!isRecord(http)) return
  const paths = recordsOf(http['paths'])
  if (paths.length === 0) errors.required(`${at}.http.paths`)
  for (const [i, { path, pathType, backend }] of paths.entries()) {
    const here = `${at}.http.paths[${i}]`
    if (pathType === undefined) errors.required(`${here}.pathType`, 'pathType must be specified')
    else if (!pathTypes.includes(String(pathType))) errors.unsupported(`${here}.pathType`, pathType, pathTypes)
    else validatePath(path, String(pathType), `${here}.path`, errors)
    if (isRecord(backend)) validateBackend(backend, `${here}.backend`, errors)
    else errors.required(`${here}.backend`)
  }
}

const neverWithin = ['//', '/./', '/../', '%2f', '%2F']
const neverAtEnd = ['/..', '/.']

function validatePath(path: unknown, type: string, at: string, errors: FieldErrors): void {
  const text = typeof path === 'string' ? path : ''
  if (type === 'ImplementationSpecific' && text === '') return
  if (!text.startsWith('/')) errors.invalid(at, text, 'must be an absolute path')
  if (type === 'ImplementationSpecific') return
  for (const part of neverWithin) if (text.includes(part)) errors.invalid(at, text, `must not contain '${part}'`)
  for (const end of neverAtEnd) if (text.endsWith(end)) errors.invalid(at, text, `cannot end with '${end}'`)
}

function validateBackend({ service, resource }: Json, at: string, errors: FieldErrors): void {
  if (service !== undefined && resource !== undefined) errors.invalid(at, '', 'cannot set both resource and service backends')
  else if (isRecord(resource)) {
    for (const field of ['kind', 'name']) if ((resource[field] ?? '') === '') errors.required(`${at}.resource.${field}`)
  } else if (isRecord(service)) {
    const { name, port } = service
    if (typeof name !== 'string' || name === '') errors.required(`${at}.service.name`)
    else errors.each(`${at}.service.name`, name, dns1035Label(name))
    validatePort(isRecord(port) ? port : {}, `${at}.service.port`, errors)
  } else errors.required(at, 'resource or service backend is required')
}

function validatePort({ name, number }: Json, at: string, errors: FieldErrors): void {
  const hasNumber = typeof number === 'number' && number !== 0
  const hasName = typeof name === 'string' && name !== ''
  if (hasNumber && hasName) errors.invalid(at, '', 'cannot set both port name & port number')
  else if (!hasNumber && !hasName) errors.required(at, 'port name or number is required')
  else if (hasNumber) errors.each(`${at}.number`, number, portNumber(number))
}
