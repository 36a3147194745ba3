// Formats of names, keys and addresses (apimachinery pkg/util/validation). Each returns what is wrong, nothing when it is right.
import { familyOf } from '../allocation/address-range.ts'

const label = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/
const label1035 = /^[a-z]([-a-z0-9]*[a-z0-9])?$/
const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
const qualifiedPart = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/

function tooLong(max: number): string {
  return `must be no more than ${max} bytes`
}

export function dnsLabel(value: string): string[] {
  const errors = value.length > 63 ? [tooLong(63)] : []
  if (!label.test(value)) {
    errors.push(
      `a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character ` +
        `(e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`,
    )
  }
  return errors
}

export function dns1035Label(value: string): string[] {
  const errors = value.length > 63 ? [tooLong(63)] : []
  if (!label1035.test(value)) {
    errors.push(
      `a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character ` +
        `(e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')`,
    )
  }
  return errors
}

export function dnsSubdomain(value: string): string[] {
  const errors = value.length > 253 ? [tooLong(253)] : []
  if (!subdomain.test(value)) {
    errors.push(
      `a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character ` +
        `(e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`,
    )
  }
  return errors
}

/** A label's or taint's key: `name` or `prefix/name`. */
export function qualifiedName(value: string): string[] {
  const parts = value.split('/')
  const name = parts.at(-1) ?? ''
  const rule =
    `must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character ` +
    `(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')`
  if (parts.length > 2) return [`a qualified name ${rule} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`]
  const errors: string[] = []
  if (parts.length === 2) {
    if (parts[0] === '') errors.push('prefix part must be non-empty')
    else errors.push(...dnsSubdomain(parts[0] ?? '').map((error) => `prefix part ${error}`))
  }
  if (name === '') errors.push('name part must be non-empty')
  else if (name.length > 63) errors.push(`name part ${tooLong(63)}`)
  if (!qualifiedPart.test(name)) errors.push(`name part ${rule}`)
  return errors
}

export function labelValue(value: string): string[] {
  const errors = value.length > 63 ? [tooLong(63)] : []
  if (value !== '' && !qualifiedPart.test(value)) {
    errors.push(
      `a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character ` +
        `(e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')`,
    )
  }
  return errors
}

export function portNumber(value: number): string[] {
  return value >= 1 && value <= 65_535 ? [] : ['must be between 1 and 65535, inclusive']
}

/** IANA_SVC_NAME: what a container's port may be called. */
export function portName(value: string): string[] {
  const errors: string[] = []
  if (value.length > 15) errors.push('must be no more than 15 characters')
  if (!/^[-a-z0-9]+$/.test(value)) errors.push('must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)')
  if (!/[a-z]/.test(value)) errors.push('must contain at least one letter (a-z)')
  if (value.includes('--')) errors.push('must not contain consecutive hyphens')
  if (value.startsWith('-') || value.endsWith('-')) errors.push('must not begin or end with a hyphen')
  return errors
}

/** A number, or the name of one. */
export function portNumberOrName(value: number | string): string[] {
  return typeof value === 'number' ? portNumber(value) : portName(value)
}

export function environmentName(value: string): string[] {
  return /^[ -<>-~]+$/.test(value) ? [] : [`a valid environment variable name must consist only of printable ASCII characters other than '='`]
}

/** A key of a config map or secret. */
export function configKey(value: string): string[] {
  const errors = value.length > 253 ? [tooLong(253)] : []
  if (!/^[-._a-zA-Z0-9]+$/.test(value)) {
    errors.push(`a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')`)
  }
  if (value === '.') errors.push(`must not be '.'`)
  if (value === '..') errors.push(`must not be '..'`)
  else if (value.startsWith('..')) errors.push(`must not start with '..'`)
  return errors
}

export function ipAddress(value: string): string[] {
  return familyOf(value) === undefined ? ['must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'] : []
}

/** A path inside a volume. */
export function relativePath(value: string): string[] {
  if (value.startsWith('/')) return ['must be a relative path']
  return value.split('/').includes('..') ? [`must not contain '..'`] : []
}
