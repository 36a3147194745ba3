// Webhook configurations and admission policies (pkg/apis/admissionregistration/validation).
import type { AnyObject } from '../../../../api/types.ts'
import { expressionError } from '../../admission/expressions.ts'
import { isRecord } from '../../object.ts'
import type { FieldErrors } from './errors.ts'
import { dnsLabel, dnsSubdomain, qualifiedName } from './formats.ts'
import { validateLabelSelector } from './selectors.ts'

type Json = Record<string, unknown>

const operations = ['*', 'CONNECT', 'CREATE', 'DELETE', 'UPDATE']
const failurePolicies = ['Fail', 'Ignore']
const matchPolicies = ['Equivalent', 'Exact']
const scopes = ['*', 'Cluster', 'Namespaced']
const reasons = ['Forbidden', 'Invalid', 'RequestEntityTooLarge', 'Unauthorized']
const actions = ['Audit', 'Deny', 'Warn']
const variableName = /^[_a-zA-Z][_a-zA-Z0-9]*$/
const matchConditionsMax = 64

function records(object: Json, field: string): Json[] {
  const list = object[field]
  return Array.isArray(list) ? list.filter(isRecord) : []
}

function texts(object: Json, field: string): string[] {
  const list = object[field]
  return Array.isArray(list) ? list.map(String) : []
}

function text(object: Json, field: string): string {
  const value = object[field]
  return typeof value === 'string' ? value : ''
}

export function validateWebhooks(configuration: AnyObject, isMutating: boolean, errors: FieldErrors): void {
  const seen = new Set<string>()
  for (const [i, webhook] of records(configuration, 'webhooks').entries()) {
    const at = `webhooks[${i}]`
    const name = text(webhook, 'name')
    if (name === '') errors.required(`${at}.name`)
    else errors.each(`${at}.name`, name, [...dnsSubdomain(name), ...(name.split('.').length < 3 ? ['should be a domain with at least three segments separated by dots'] : [])])
    if (seen.has(name)) errors.duplicate(`${at}.name`, name)
    seen.add(name)
    validateWebhook(webhook, at, errors)
    if (isMutating) oneOf(webhook, 'reinvocationPolicy', ['IfNeeded', 'Never'], at, errors)
  }
}

function validateWebhook(webhook: Json, at: string, errors: FieldErrors): void {
  validateRules(webhook, 'rules', at, errors, false)
  oneOf(webhook, 'failurePolicy', failurePolicies, at, errors)
  validateSelectors(webhook, at, errors)
  if (webhook['sideEffects'] === undefined) errors.required(`${at}.sideEffects`, `must specify one of None, NoneOnDryRun`)
  else oneOf(webhook, 'sideEffects', ['None', 'NoneOnDryRun'], at, errors)
  const timeout = webhook['timeoutSeconds']
  if (typeof timeout === 'number' && (timeout < 1 || timeout > 30)) errors.invalid(`${at}.timeoutSeconds`, timeout, 'the timeout value must be between 1 and 30 seconds')
  const versions = texts(webhook, 'admissionReviewVersions')
  if (versions.length === 0) errors.required(`${at}.admissionReviewVersions`, 'must specify one of v1, v1beta1')
  else if (!versions.some((one) => one === 'v1' || one === 'v1beta1')) errors.invalid(`${at}.admissionReviewVersions`, versions, 'must include at least one of v1, v1beta1')
  versions.forEach((version, j) => errors.each(`${at}.admissionReviewVersions[${j}]`, version, dnsLabel(version)))
  validateClientConfig(isRecord(webhook['clientConfig']) ? webhook['clientConfig'] : {}, `${at}.clientConfig`, errors)
  validateConditions(webhook, at, false, errors)
}

export function validateClientConfig(config: Json, at: string, errors: FieldErrors): void {
  const url = config['url']
  const service = config['service']
  if ((url === undefined) === (service === undefined)) errors.required(at, 'exactly one of url or service is required')
  else if (typeof url === 'string') validateUrl(url, `${at}.url`, errors)
  else if (isRecord(service)) {
    if (text(service, 'name') === '') errors.required(`${at}.service.name`, 'service name is required')
    if (text(service, 'namespace') === '') errors.required(`${at}.service.namespace`, 'service namespace is required')
    const path = text(service, 'path')
    if (path !== '' && !path.startsWith('/')) errors.invalid(`${at}.service.path`, path, "must start with a '/'")
    const port = service['port']
    if (typeof port === 'number' && (port < 1 || port > 65535)) errors.invalid(`${at}.service.port`, port, 'port is not valid: must be between 1 and 65535, inclusive')
  }
}

function validateUrl(url: string, at: string, errors: FieldErrors): void {
  const form = '; desired format: https://host[/path]'
  if (!URL.canParse(url)) {
    errors.required(at, `url must be a valid URL: parse ${JSON.stringify(url)}${form}`)
    return
  }
  const { protocol, hostname, username, password, hash, search } = new URL(url)
  if (protocol !== 'https:') errors.invalid(at, protocol.slice(0, -1), `'https' is the only allowed URL scheme${form}`)
  if (hostname === '') errors.invalid(at, hostname, `host must be specified${form}`)
  if (username !== '' || password !== '') errors.invalid(at, username, 'user information is not permitted in the URL')
  if (hash !== '') errors.invalid(at, hash.slice(1), 'fragments are not permitted in the URL')
  if (search !== '') errors.invalid(at, search.slice(1), 'query parameters are not permitted in the URL')
}

function validateRules(owner: Json, field: string, at: string, errors: FieldErrors, hasNames: boolean): void {
  for (const [i, rule] of records(owner, field).entries()) {
    const here = `${at}.${field}[${i}]`
    for (const list of ['operations', 'apiGroups', 'apiVersions', 'resources'] as const) {
      const values = texts(rule, list)
      if (values.length === 0) errors.required(`${here}.${list}`)
      if (values.length > 1 && values.includes('*')) errors.invalid(`${here}.${list}`, values, `if '*' is present, must not specify other ${list === 'apiGroups' ? 'API groups' : list === 'apiVersions' ? 'API versions' : list}`)
      values.forEach((value, j) => {
        if (list === 'operations' && !operations.includes(value)) errors.unsupported(`${here}.operations[${j}]`, value, operations)
        if (list !== 'apiGroups' && value === '') errors.required(`${here}.${list}[${j}]`)
      })
    }
    validateResources(texts(rule, 'resources'), `${here}.resources`, errors)
    oneOf(rule, 'scope', scopes, here, errors)
    if (hasNames) for (const [j, name] of texts(rule, 'resourceNames').entries()) if (name.includes('/') || name === '') errors.invalid(`${here}.resourceNames[${j}]`, name, "may not be empty or contain '/'")
  }
}

function validateResources(resources: readonly string[], at: string, errors: FieldErrors): void {
  const wildcards = new Set(resources.filter((one) => one.endsWith('/*')).map((one) => one.slice(0, -2)))
  const subresources = new Set(resources.filter((one) => one.startsWith('*/')).map((one) => one.slice(2)))
  resources.forEach((one, i) => {
    const [resource = '', sub] = one.split('/')
    if (sub === undefined) return
    if (wildcards.has(resource) && sub !== '*') errors.invalid(`${at}[${i}]`, one, `if '${resource}/*' is present, must not specify ${one}`)
    if (subresources.has(sub) && resource !== '*') errors.invalid(`${at}[${i}]`, one, `if '*/${sub}' is present, must not specify ${one}`)
  })
}

function validateSelectors(owner: Json, at: string, errors: FieldErrors): void {
  oneOf(owner, 'matchPolicy', matchPolicies, at, errors)
  for (const field of ['namespaceSelector', 'objectSelector'] as const) {
    const selector = owner[field]
    if (isRecord(selector)) validateLabelSelector(selector, `${at}.${field}`, errors)
  }
}

function oneOf(object: Json, field: string, values: readonly string[], at: string, errors: FieldErrors): void {
  const value = object[field]
  if (value !== undefined && !values.includes(String(value))) errors.unsupported(`${at}.${field}`, value, values)
}

function validateConditions(owner: Json, at: string, params: boolean, errors: FieldErrors): void {
  const conditions = records(owner, 'matchConditions')
  if (conditions.length > matchConditionsMax) errors.tooMany(`${at}.matchConditions`, conditions.length, matchConditionsMax)
  const seen = new Set<string>()
  for (const [i, condition] of conditions.entries()) {
    const here = `${at}.matchConditions[${i}]`
    const name = text(condition, 'name')
    if (name === '') errors.required(`${here}.name`)
    else errors.each(`${here}.name`, name, qualifiedName(name))
    if (seen.has(name)) errors.duplicate(`${here}.name`, name)
    seen.add(name)
    validateExpression(condition, 'expression', here, { params }, ['bool'], errors)
  }
}

export function validateExpression(owner: Json, field: string, at: string, names: Parameters<typeof expressionError>[1], types: readonly string[], errors: FieldErrors): void {
  const expression = text(owner, field).trim()
  if (expression === '') {
    errors.required(`${at}.${field}`, field === 'expression' ? 'expression is not specified' : 'must be non-empty if specified')
    return
  }
  const why = expressionError(expression, names, types)
  if (why !== undefined) errors.invalid(`${at}.${field}`, expression, why)
}

/** What policies of both kinds have in common. Returns the names of their variables. */
export function validatePolicySpec(spec: Json, errors: FieldErrors, read: (expression: string) => string = (expression) => expression): { readonly hasParams: boolean; readonly declared: ReadonlySet<string> } {
  oneOf(spec, 'failurePolicy', failurePolicies, 'spec', errors)
  const hasParams = isRecord(spec['paramKind'])
  if (isRecord(spec['paramKind'])) {
    for (const field of ['apiVersion', 'kind'] as const) if (text(spec['paramKind'], field) === '') errors.required(`spec.paramKind.${field}`)
  }
  const constraints = spec['matchConstraints']
  if (!isRecord(constraints)) errors.required('spec.matchConstraints')
  else validateMatching(constraints, 'spec.matchConstraints', true, errors)
  validateConditions(spec, 'spec', hasParams, errors)
  return { hasParams, declared: validateVariables(spec, hasParams, errors, read) }
}

export function validatePolicy(policy: AnyObject, errors: FieldErrors): void {
  const spec = isRecord(policy['spec']) ? policy['spec'] : {}
  const { hasParams, declared } = validatePolicySpec(spec, errors)
  const validations = records(spec, 'validations')
  const annotations = records(spec, 'auditAnnotations')
  if (validations.length === 0 && annotations.length === 0) {
    errors.required('spec.validations', 'validations or auditAnnotations must contain at least one item')
    errors.required('spec.auditAnnotations', 'validations or auditAnnotations must contain at least one item')
  }
  const names = { params: hasParams, variables: true }
  for (const [i, validation] of validations.entries()) {
    const at = `spec.validations[${i}]`
    validateExpression(validation, 'expression', at, names, ['bool'], errors)
    if (validation['messageExpression'] !== undefined) validateExpression(validation, 'messageExpression', at, names, ['string'], errors)
    const message = validation['message']
    if (message !== undefined && String(message).trim() === '') errors.invalid(`${at}.message`, message, 'message must be non-empty if specified')
    if (typeof message === 'string' && /[\r\n]/.test(message)) errors.invalid(`${at}.message`, message, 'message must not contain line breaks')
    oneOf(validation, 'reason', reasons, at, errors)
    undeclared(validation, at, declared, errors)
  }
  for (const [i, annotation] of annotations.entries()) {
    const at = `spec.auditAnnotations[${i}]`
    if (text(annotation, 'key') === '') errors.required(`${at}.key`)
    else errors.each(`${at}.key`, text(annotation, 'key'), qualifiedName(text(annotation, 'key')))
    validateExpression(annotation, 'valueExpression', at, names, ['string', 'null'], errors)
  }
}

/** Variables see those declared before them. */
function validateVariables(spec: Json, params: boolean, errors: FieldErrors, read: (expression: string) => string): ReadonlySet<string> {
  const declared = new Set<string>()
  for (const [i, variable] of records(spec, 'variables').entries()) {
    const at = `spec.variables[${i}]`
    const name = text(variable, 'name')
    if (name === '') errors.required(`${at}.name`, 'name is not specified')
    else if (!variableName.test(name)) errors.invalid(`${at}.name`, name, 'name is not a valid CEL identifier')
    if (declared.has(name)) errors.duplicate(`${at}.name`, name)
    validateExpression({ ...variable, expression: read(text(variable, 'expression')) }, 'expression', at, { params, variables: true }, [], errors)
    undeclared(variable, at, declared, errors)
    declared.add(name)
  }
  return declared
}

export function undeclared(owner: Json, at: string, declared: ReadonlySet<string>, errors: FieldErrors): void {
  const expression = text(owner, 'expression')
  const bare = expression.replaceAll(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/g, '""')
  for (const [, name = ''] of bare.matchAll(/\bvariables\.([_a-zA-Z][_a-zA-Z0-9]*)/g)) {
    if (!declared.has(name)) errors.invalid(`${at}.expression`, expression, `compilation failed: undefined field '${name}'`)
  }
}

function validateMatching(matching: Json, at: string, isRequired: boolean, errors: FieldErrors): void {
  validateSelectors(matching, at, errors)
  if (isRequired && records(matching, 'resourceRules').length === 0) errors.required(`${at}.resourceRules`)
  validateRules(matching, 'resourceRules', at, errors, true)
  validateRules(matching, 'excludeResourceRules', at, errors, true)
}

/** What bindings of both kinds have in common. */
export function validateBindingSpec(spec: Json, errors: FieldErrors): void {
  const policy = text(spec, 'policyName')
  if (policy === '') errors.required('spec.policyName')
  else errors.each('spec.policyName', policy, dnsSubdomain(policy))
  if (isRecord(spec['matchResources'])) validateMatching(spec['matchResources'], 'spec.matchResources', false, errors)
  if (isRecord(spec['paramRef'])) validateParamRef(spec['paramRef'], errors)
}

export function validateBinding(binding: AnyObject, errors: FieldErrors): void {
  const spec = isRecord(binding['spec']) ? binding['spec'] : {}
  validateBindingSpec(spec, errors)
  const chosen = texts(spec, 'validationActions')
  if (chosen.length === 0) errors.required('spec.validationActions', 'at least one validation action is required')
  const seen = new Set<string>()
  for (const [i, action] of chosen.entries()) {
    if (!actions.includes(action)) errors.unsupported(`spec.validationActions[${i}]`, action, actions)
    if (seen.has(action)) errors.duplicate(`spec.validationActions[${i}]`, action)
    seen.add(action)
  }
  if (seen.has('Deny') && seen.has('Warn')) errors.invalid('spec.validationActions', chosen, 'must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)')
}

function validateParamRef(ref: Json, errors: FieldErrors): void {
  const name = text(ref, 'name')
  const selector = ref['selector']
  if (name !== '') errors.each('spec.paramRef.name', name, dnsSubdomain(name))
  if (name !== '' && selector !== undefined) errors.forbidden('spec.paramRef.name', 'name and selector are mutually exclusive')
  if (name === '' && selector === undefined) errors.required('spec.paramRef', 'one of name or selector must be specified')
  if (isRecord(selector)) validateLabelSelector(selector, 'spec.paramRef.selector', errors)
  if (ref['parameterNotFoundAction'] === undefined) errors.required('spec.paramRef.parameterNotFoundAction')
  else oneOf(ref, 'parameterNotFoundAction', ['Allow', 'Deny'], 'spec.paramRef', errors)
}
