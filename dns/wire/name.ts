/**
 * Names in presentation form (RFC 1035 section 5.1, RFC 4343): absolute, with the dot at the end; `.` is the root. Dots and
 * backslashes inside labels are escaped `\.` and `\\`, bytes that do not print as `\DDD`.
 */
import { WireError } from './error.ts'

/** Labels are 1 to 63 bytes, names at most 255 with all their length bytes (RFC 1035 section 2.3.4). */
const labelBytesMax = 63
export const nameBytesMax = 255

const printsPlain = /^[!#-'*+,\-/-:<-?A-[\]-~]*$/

/** The labels of a name as strings of bytes (latin1), the leftmost first. Throws a `WireError` when they are too long or empty. */
export function labelsOf(name: string): string[] {
  if (name === '.') return []
  const text = name.endsWith('.') ? name.slice(0, -1) : name
  const labels = name.includes('\\') ? escapedLabels(name) : text.split('.')
  let length = 1
  for (const label of labels) {
    if (label === '') throw new WireError(`use name ${quoted(name)}`, 'it has an empty label')
    if (label.length > labelBytesMax) throw new WireError(`use name ${quoted(name)}`, `a label is longer than ${labelBytesMax} bytes`)
    for (let index = 0; index < label.length; index += 1) if (label.charCodeAt(index) > 0xff) throw new WireError(`use name ${quoted(name)}`, 'it holds characters that are not bytes')
    length += label.length + 1
  }
  if (length > nameBytesMax) throw new WireError(`use name ${quoted(name)}`, `it is longer than ${nameBytesMax} bytes`)
  return labels
}

/** The name of these labels. */
export function nameOf(labels: readonly string[]): string {
  if (labels.length === 0) return '.'
  let name = ''
  for (const label of labels) name += `${escaped(label)}.`
  return name
}

/** A label as it stands in a name. */
function escaped(label: string): string {
  if (printsPlain.test(label)) return label
  let text = ''
  for (const char of label) {
    const code = char.charCodeAt(0)
    if (code < 0x21 || code > 0x7e) text += `\\${String(code).padStart(3, '0')}`
    else text += '.\\"();@$'.includes(char) ? `\\${char}` : char
  }
  return text
}

/** The form under which names are compared: ASCII letters small (RFC 4343), the dot at the end. */
export function canonical(name: string): string {
  const lower = name.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
  return lower.endsWith('.') && !isEscaped(lower, lower.length - 1) ? lower : `${lower}.`
}

/** Whether `name` is `zone` or below it; both canonical. */
export function isWithin(name: string, zone: string): boolean {
  if (zone === '.') return true
  if (!name.endsWith(zone)) return false
  const dot = name.length - zone.length - 1
  return dot < 0 || (name[dot] === '.' && !isEscaped(name, dot))
}

/** Whether the character at `index` is part of a label: an odd number of backslashes stands before it. */
function isEscaped(name: string, index: number): boolean {
  let start = index
  while (name[start - 1] === '\\') start -= 1
  return (index - start) % 2 === 1
}

function escapedLabels(name: string): string[] {
  const labels: string[] = []
  let label = ''
  for (let index = 0; index < name.length; index += 1) {
    const char = name[index] ?? ''
    if (char === '.') {
      labels.push(label)
      label = ''
      continue
    }
    if (char !== '\\') {
      label += char
      continue
    }
    const digits = /^\d{3}/.exec(name.slice(index + 1, index + 4))?.[0]
    if (digits !== undefined) {
      if (Number(digits) > 255) throw new WireError(`use name ${quoted(name)}`, `\\${digits} is not a byte`)
      label += String.fromCharCode(Number(digits))
      index += 3
    } else {
      const next = name[index + 1]
      if (next === undefined) throw new WireError(`use name ${quoted(name)}`, 'it ends within an escape')
      label += next
      index += 1
    }
  }
  if (label !== '') labels.push(label)
  return labels
}

function quoted(name: string): string {
  return JSON.stringify(name.length > 300 ? `${name.slice(0, 300)}…` : name)
}
