// API services, flow control, service ranges, devices, and events as events.k8s.io has them (pkg/apis/flowcontrol/validation and the like).
import type { AnyObject } from '../../../../api/types.ts'
import { equalJson, isRecord, valueAt } from '../../object.ts'
import { AddressRange, familyOf } from '../allocation/address-range.ts'
import type { FieldErrors } from './errors.ts'
import { dns1035Label, dnsSubdomain, ipAddress, portNumber, qualifiedName } from './formats.ts'

type Json = Record<string, unknown>

function textAt(object: unknown, path: string): string {
  const value = valueAt(object, path)
  return typeof value === 'string' ? value : ''
}

function numberAt(object: unknown, path: string): number {
  const value = valueAt(object, path)
  return typeof value === 'number' ? value : 0
}

function recordsAt(object: unknown, path: string): Json[] {
  const value = valueAt(object, path)
  return Array.isArray(value) ? value.filter(isRecord) : []
}

function textsAt(object: unknown, path: string): string[] {
  const value = valueAt(object, path)
  return Array.isArray(value) ? value.map(String) : []
}

export function validateApiService(object: AnyObject, errors: FieldErrors): void {
  const [group, version] = [textAt(object, '.spec.group'), textAt(object, '.spec.version')]
  if (object.metadata.name !== `${version}.${group}`) errors.invalid('metadata.name', object.metadata.name, `must be \`spec.version+"."+spec.group\`: "${version}.${group}"`)
  if (version === '') errors.required('spec.version')
  else errors.each('spec.version', version, dns1035Label(version))
  if (group === '' && version !== 'v1') errors.required('spec.group', 'only v1 may have an empty group and it better be legacy kube')
  else if (group !== '') errors.each('spec.group', group, dnsSubdomain(group))
  for (const [field, most] of [['groupPriorityMinimum', 20_000], ['versionPriority', 1000]] as const) {
    const priority = numberAt(object, `.spec.${field}`)
    if (priority <= 0 || priority > most) errors.invalid(`spec.${field}`, priority, `must be positive and less than ${most}`)
  }
  const [isUnchecked, hasBundle] = [valueAt(object, '.spec.insecureSkipTLSVerify') === true, textAt(object, '.spec.caBundle') !== '']
  if (!isRecord(valueAt(object, '.spec.service'))) {
    if (hasBundle) errors.invalid('spec.caBundle', `${textAt(object, '.spec.caBundle').length} bytes`, 'local APIServices may not have a caBundle')
    if (isUnchecked) errors.invalid('spec.insecureSkipTLSVerify', true, 'local APIServices may not have insecureSkipTLSVerify')
    return
  }
  for (const field of ['namespace', 'name']) if (textAt(object, `.spec.service.${field}`) === '') errors.required(`spec.service.${field}`)
  errors.each('spec.service.port', numberAt(object, '.spec.service.port'), portNumber(numberAt(object, '.spec.service.port')))
  if (isUnchecked && hasBundle) errors.invalid('spec.insecureSkipTLSVerify', true, 'may not be true if caBundle is present')
}

const precedenceMax = 10_000

export function validateFlowSchema(object: AnyObject, errors: FieldErrors): void {
  const precedence = numberAt(object, '.spec.matchingPrecedence')
  if (precedence < 1) errors.invalid('spec.matchingPrecedence', precedence, 'must be a positive value')
  if (precedence > precedenceMax) errors.invalid('spec.matchingPrecedence', precedence, `must not be greater than ${precedenceMax}`)
  if (precedence === 1 && object.metadata.name !== 'exempt') errors.invalid('spec.matchingPrecedence', precedence, 'only the schema named \'exempt\' may have matchingPrecedence 1')
  const method = valueAt(object, '.spec.distinguisherMethod')
  if (isRecord(method) && !['ByNamespace', 'ByUser'].includes(String(method['type']))) errors.unsupported('spec.distinguisherMethod', method['type'], ['ByNamespace', 'ByUser'])
  if (textAt(object, '.spec.priorityLevelConfiguration.name') === '') errors.required('spec.priorityLevelConfiguration.name', 'must reference a priority level')
  recordsAt(object, '.spec.rules').forEach((rule, i) => validateFlowRule(rule, `spec.rules[${i}]`, errors))
}

const subjectKinds: Readonly<Record<string, string>> = { User: 'user', Group: 'group', ServiceAccount: 'serviceAccount' }

function validateFlowRule(rule: Json, at: string, errors: FieldErrors): void {
  const subjects = recordsAt(rule, '.subjects')
  if (subjects.length === 0) errors.required(`${at}.subjects`, 'subjects must contain at least one value')
  subjects.forEach((subject, i) => {
    const kind = String(subject['kind'] ?? '')
    const field = Object.hasOwn(subjectKinds, kind) ? subjectKinds[kind] : undefined
    if (field === undefined) errors.unsupported(`${at}.subjects[${i}].kind`, kind, Object.keys(subjectKinds))
    else if (textAt(subject, `.${field}.name`) === '') errors.required(`${at}.subjects[${i}].${field}`, `${field} is required when subject kind is '${kind}'`)
  })
  const [resources, others] = [recordsAt(rule, '.resourceRules'), recordsAt(rule, '.nonResourceRules')]
  if (resources.length === 0 && others.length === 0) errors.required(at, 'at least one of resourceRules and nonResourceRules has to be non-empty')
  resources.forEach((one, i) => {
    for (const field of ['verbs', 'apiGroups', 'resources']) if (textsAt(one, `.${field}`).length === 0) errors.required(`${at}.resourceRules[${i}].${field}`)
    if (textsAt(one, '.namespaces').length === 0 && one['clusterScope'] !== true) errors.required(`${at}.resourceRules[${i}].namespaces`, 'resource rules that are not cluster scoped must supply at least one namespace')
  })
  others.forEach((one, i) => {
    for (const field of ['verbs', 'nonResourceURLs']) if (textsAt(one, `.${field}`).length === 0) errors.required(`${at}.nonResourceRules[${i}].${field}`)
  })
}

export function validatePriorityLevel(object: AnyObject, errors: FieldErrors): void {
  const type = textAt(object, '.spec.type')
  const [limited, exempt] = [valueAt(object, '.spec.limited'), valueAt(object, '.spec.exempt')]
  if ((object.metadata.name === 'exempt') !== (type === 'Exempt') && (type === 'Exempt' || type === 'Limited')) errors.invalid('spec.type', type, `type must be 'Exempt' if and only if \`name\` is 'exempt'`)
  if (type === 'Exempt') {
    if (limited !== undefined) errors.forbidden('spec.limited', `must be nil if the type is not Limited`)
  } else if (type === 'Limited') {
    if (exempt !== undefined) errors.forbidden('spec.exempt', `must be nil if the type is Limited`)
    if (!isRecord(limited)) errors.required('spec.limited', 'must not be empty when type is Limited')
    else validateLimited(limited, errors)
  } else errors.unsupported('spec.type', type, ['Exempt', 'Limited'])
}

function validateLimited(limited: Json, errors: FieldErrors): void {
  errors.nonNegative('spec.limited.nominalConcurrencyShares', numberAt(limited, '.nominalConcurrencyShares'))
  const lendable = numberAt(limited, '.lendablePercent')
  if (lendable < 0 || lendable > 100) errors.invalid('spec.limited.lendablePercent', lendable, 'must be between 0 and 100, inclusive')
  const [type, queuing] = [textAt(limited, '.limitResponse.type'), valueAt(limited, '.limitResponse.queuing')]
  const at = 'spec.limited.limitResponse'
  if (type === 'Reject') {
    if (queuing !== undefined) errors.forbidden(`${at}.queuing`, 'must be nil if limited.limitResponse.type is not Limited')
  } else if (type === 'Queue') {
    if (!isRecord(queuing)) return errors.required(`${at}.queuing`, 'must not be empty if limited.limitResponse.type is Limited')
    for (const field of ['queues', 'handSize', 'queueLengthLimit']) if (numberAt(queuing, `.${field}`) <= 0) errors.invalid(`${at}.queuing.${field}`, numberAt(queuing, `.${field}`), 'must be positive')
    if (numberAt(queuing, '.handSize') > numberAt(queuing, '.queues')) errors.invalid(`${at}.queuing.handSize`, numberAt(queuing, '.handSize'), `should not be greater than queues (${numberAt(queuing, '.queues')})`)
  } else errors.unsupported(`${at}.type`, type, ['Queue', 'Reject'])
}

export function validateServiceCidr(object: AnyObject, errors: FieldErrors): void {
  const cidrs = textsAt(object, '.spec.cidrs')
  if (cidrs.length === 0) errors.required('spec.cidrs', 'at least one CIDR required')
  if (cidrs.length > 2) errors.invalid('spec', cidrs, 'may only hold up to 2 values')
  const families = cidrs.map((cidr, i) => {
    const range = rangeOf(cidr)
    if (range === undefined) errors.invalid(`spec.cidrs[${i}]`, cidr, 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)')
    return range?.family
  })
  if (cidrs.length === 2 && families[0] === families[1] && families[0] !== undefined) errors.invalid('spec.cidrs', cidrs, 'may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/96')
}

/** The addresses of a CIDR; undefined when it is none. */
function rangeOf(cidr: string): AddressRange | undefined {
  try {
    return new AddressRange(cidr)
  } catch {
    // The caller says which field it was.
    return undefined
  }
}

export function validateServiceCidrUpdate(object: AnyObject, old: AnyObject, errors: FieldErrors): void {
  if (!equalJson(valueAt(object, '.spec.cidrs'), valueAt(old, '.spec.cidrs'))) errors.immutable('spec.cidrs', valueAt(object, '.spec.cidrs'))
}

export function validateIpAddress(object: AnyObject, errors: FieldErrors): void {
  const { name = '' } = object.metadata
  if (familyOf(name) === undefined) errors.each('metadata.name', name, ipAddress(name))
  const parent = valueAt(object, '.spec.parentRef')
  if (!isRecord(parent)) return errors.required('spec.parentRef')
  for (const field of ['resource', 'name']) if (textAt(parent, `.${field}`) === '') errors.required(`spec.parentRef.${field}`)
}

export function validateIpAddressUpdate(object: AnyObject, old: AnyObject, errors: FieldErrors): void {
  if (!equalJson(valueAt(object, '.spec.parentRef'), valueAt(old, '.spec.parentRef'))) errors.immutable('spec.parentRef', valueAt(object, '.spec.parentRef'))
}

export function validateAttributesClass(object: AnyObject, errors: FieldErrors): void {
  if (textAt(object, '.driverName') === '') errors.required('driverName')
  const parameters = valueAt(object, '.parameters')
  if (!isRecord(parameters) || Object.keys(parameters).length === 0) errors.required('parameters', 'must contain at least one key/value pair')
}

export function validateAttributesClassUpdate(object: AnyObject, old: AnyObject, errors: FieldErrors): void {
  if (object['driverName'] !== old['driverName']) errors.forbidden('driverName', 'updates to driverName are forbidden.')
  if (!equalJson(object['parameters'], old['parameters'])) errors.forbidden('parameters', 'updates to parameters are forbidden.')
}

const lengthMax: Readonly<Record<string, number>> = { reportingInstance: 128, action: 128, reason: 128 }
const noteMax = 1024

/** As `ValidateEventCreate` is with those who speak this form: nothing of it may be left out. */
export function validateNewEvent(event: AnyObject, errors: FieldErrors): void {
  if (event['eventTime'] === undefined) errors.required('eventTime')
  const { type = '' } = event as { type?: string }
  if (type !== 'Normal' && type !== 'Warning') errors.invalid('type', type, 'has invalid value: ')
  const controller = textAt(event, '.reportingController')
  if (controller === '') errors.required('reportingController')
  else errors.each('reportingController', controller, qualifiedName(controller))
  for (const [field, most] of Object.entries(lengthMax)) {
    const value = textAt(event, `.${field}`)
    if (value === '') errors.required(field)
    if (value.length > most) errors.invalid(field, value, `can have at most ${most} characters`)
  }
  if (textAt(event, '.note').length > noteMax) errors.invalid('note', '', `can have at most ${noteMax} characters`)
}

export function validateSlice(object: AnyObject, errors: FieldErrors): void {
  if (textAt(object, '.spec.driver') === '') errors.required('spec.driver')
  else errors.each('spec.driver', textAt(object, '.spec.driver'), dnsSubdomain(textAt(object, '.spec.driver')))
  if (textAt(object, '.spec.pool.name') === '') errors.required('spec.pool.name')
  if (numberAt(object, '.spec.pool.resourceSliceCount') <= 0) errors.invalid('spec.pool.resourceSliceCount', numberAt(object, '.spec.pool.resourceSliceCount'), 'must be greater than zero')
  const chosen = ['nodeName', 'nodeSelector', 'allNodes', 'perDeviceNodeSelection'].filter((field) => valueAt(object, `.spec.${field}`) !== undefined)
  if (chosen.length === 0) errors.required('spec', 'exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required')
  else if (chosen.length > 1) errors.invalid('spec', `{${chosen.join(', ')}}`, 'exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set')
}

export function validateSliceUpdate(object: AnyObject, old: AnyObject, errors: FieldErrors): void {
  for (const field of ['nodeName', 'driver', 'pool.name']) if (valueAt(object, `.spec.${field}`) !== valueAt(old, `.spec.${field}`)) errors.immutable(`spec.${field}`, valueAt(object, `.spec.${field}`))
}

/** The spec of a ResourceClaim, or that of the claims that a template makes. */
export function validateResourceClaim(spec: unknown, at: string, errors: FieldErrors): void {
  const requests = recordsAt(spec, '.devices.requests')
  const names = requests.map(({ name }) => String(name ?? ''))
  requests.forEach((request, i) => {
    const field = `${at}.devices.requests[${i}]`
    if (names[i] === '') errors.required(`${field}.name`)
    else errors.each(`${field}.name`, names[i], dns1035Label(names[i] ?? ''))
    if (names.indexOf(names[i] ?? '') !== i) errors.duplicate(`${field}.name`, names[i])
    const [exactly, first] = [valueAt(request, '.exactly'), valueAt(request, '.firstAvailable')]
    if (exactly === undefined && first === undefined) errors.required(field, 'exactly one of `exactly` or `firstAvailable` is required')
    if (exactly !== undefined && textAt(exactly, '.deviceClassName') === '') errors.required(`${field}.exactly.deviceClassName`)
  })
}

export function validateClaimUpdate(object: AnyObject, old: AnyObject, errors: FieldErrors): void {
  if (!equalJson(object['spec'], old['spec'])) errors.immutable('spec', object['spec'])
}
