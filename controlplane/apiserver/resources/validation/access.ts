// Roles, bindings and certificate requests (pkg/apis/rbac/validation, pkg/apis/certificates/validation).
import type { CertificateSigningRequest, ClusterRole, PolicyRule, Role, RoleBinding } from '../../../../api/types.ts'
import { equalJson } from '../../object.ts'
import type { FieldErrors } from './errors.ts'
import { dnsSubdomain } from './formats.ts'
import type { Sent } from './sent.ts'

export function validateRole({ rules }: Role, errors: FieldErrors): void {
  validateRules(rules ?? [], true, errors)
}

export function validateClusterRole({ rules }: ClusterRole, errors: FieldErrors): void {
  validateRules(rules ?? [], false, errors)
}

function validateRules(rules: readonly PolicyRule[], isNamespaced: boolean, errors: FieldErrors): void {
  for (const [i, { verbs = [], apiGroups = [], resources = [], nonResourceURLs = [], resourceNames = [] }] of rules.entries()) {
    const at = `rules[${i}]`
    if (verbs.length === 0) errors.required(`${at}.verbs`, 'verbs must contain at least one value')
    if (nonResourceURLs.length > 0) {
      if (isNamespaced) errors.invalid(`${at}.nonResourceURLs`, nonResourceURLs, 'namespaced rules cannot apply to non-resource URLs')
      if (apiGroups.length > 0 || resources.length > 0 || resourceNames.length > 0) errors.invalid(`${at}.nonResourceURLs`, nonResourceURLs, 'rules cannot apply to both regular resources and non-resource URLs')
      continue
    }
    if (apiGroups.length === 0) errors.required(`${at}.apiGroups`, 'resource rules must supply at least one api group')
    if (resources.length === 0) errors.required(`${at}.resources`, 'resource rules must supply at least one resource')
  }
}

const accessGroup = 'rbac.authorization.k8s.io'

export function validateBinding({ roleRef = {}, subjects = [] }: Sent<RoleBinding>, kinds: readonly string[], errors: FieldErrors): void {
  const { apiGroup = '', kind = '', name = '' } = roleRef
  if (apiGroup !== accessGroup) errors.unsupported('roleRef.apiGroup', apiGroup, [accessGroup])
  if (!kinds.includes(kind)) errors.unsupported('roleRef.kind', kind, kinds)
  if (name === '') errors.required('roleRef.name')
  for (const [i, subject] of subjects.entries()) {
    const at = `subjects[${i}]`
    if ((subject.name ?? '') === '') errors.required(`${at}.name`)
    switch (subject.kind) {
      case 'ServiceAccount':
        if (subject.name) errors.each(`${at}.name`, subject.name, dnsSubdomain(subject.name))
        if ((subject.apiGroup ?? '') !== '') errors.unsupported(`${at}.apiGroup`, subject.apiGroup, [''])
        // one of the binding's own namespace needs none; a cluster role binding has no namespace
        if ((subject.namespace ?? '') === '' && !kinds.includes('Role')) errors.required(`${at}.namespace`)
        break
      case 'User':
      case 'Group':
        if (subject.apiGroup !== accessGroup) errors.unsupported(`${at}.apiGroup`, subject.apiGroup ?? '', [accessGroup])
        break
      default:
        errors.unsupported(`${at}.kind`, subject.kind ?? '', ['Group', 'ServiceAccount', 'User'])
    }
  }
}

/** Whom a binding binds may change, to what may not. */
export function validateBindingUpdate({ roleRef }: RoleBinding, { roleRef: old }: RoleBinding, errors: FieldErrors): void {
  if (!equalJson(roleRef, old)) errors.invalid('roleRef', roleRef, 'cannot change roleRef')
}

const shortestSeconds = 600

export function validateSigningRequest({ spec = {} }: Sent<CertificateSigningRequest>, errors: FieldErrors): void {
  const { request = '', signerName = '', usages = [], expirationSeconds } = spec
  const pem = Buffer.from(request, 'base64').toString('latin1')
  if (request === '') errors.required('spec.request')
  else if (!/-----BEGIN (NEW )?CERTIFICATE REQUEST-----/.test(pem)) errors.invalid('spec.request', request, 'PEM block type must be CERTIFICATE REQUEST')
  if (usages.length === 0) errors.required('spec.usages')
  if (signerName === '') errors.required('spec.signerName')
  else if (!/^[^/]+\.[^/]+\/.+$/.test(signerName)) errors.invalid('spec.signerName', signerName, "must be a fully qualified domain and path of the form 'example.com/signer-name'")
  if (expirationSeconds !== undefined && expirationSeconds < shortestSeconds) errors.invalid('spec.expirationSeconds', expirationSeconds, 'may not specify a duration less than 600 seconds (10 minutes)')
}
