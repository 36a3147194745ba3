// The library `format` of Kubernetes' CEL (k8s.io/apiserver/pkg/cel/library/format.go): named formats by which a text is held to be right,
// as in `!format.dns1123Label().validate(self).hasValue()`.
import { Optional } from '@marcbachmann/cel-js'
import type { Environment } from '@marcbachmann/cel-js'
import { dns1035Label, dnsLabel, dnsSubdomain, labelValue, qualifiedName } from '../resources/validation/formats.ts'

/** What is wrong with a text; nothing when it is right. */
type Check = (text: string) => string[]

class Format {
  readonly name: string
  readonly check: Check
  constructor(name: string, check: Check) {
    this.name = name
    this.check = check
  }
}

class FormatFunctions {
  readonly name = 'format'
}

/** A prefix may end in a dash, for something follows it. */
function prefixOf(check: Check): Check {
  return (text) => check(text.endsWith('-') ? `${text.slice(0, -1)}a` : text)
}

function matching(pattern: RegExp, detail: string): Check {
  return (text) => (pattern.test(text) ? [] : [detail])
}

const formats: Readonly<Record<string, Check>> = {
  dns1123Label: dnsLabel,
  dns1123Subdomain: dnsSubdomain,
  dns1035Label,
  qualifiedName,
  dns1123LabelPrefix: prefixOf(dnsLabel),
  dns1123SubdomainPrefix: prefixOf(dnsSubdomain),
  dns1035LabelPrefix: prefixOf(dns1035Label),
  labelValue,
  uri: (text) => (URL.canParse(text) || text.startsWith('/') ? [] : ['invalid URI for request']),
  uuid: matching(/^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$/, 'does not match the UUID format'),
  byte: matching(/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/, 'invalid base64'),
  date: (text) => (/^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(Date.parse(text)) ? [] : ['invalid date']),
  datetime: (text) => (/^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)$/.test(text) && !Number.isNaN(Date.parse(text)) ? [] : ['invalid datetime']),
}

/** Adds `format.NAME()`, `format.named(string)` and `validate(string)`, which answers with what is wrong, if anything is. */
export function addFormats(environment: Environment): void {
  const type = 'kubernetes.NamedFormat'
  const of = (name: string): Format | undefined => {
    const check = Object.hasOwn(formats, name) ? formats[name] : undefined
    return check === undefined ? undefined : new Format(name, check)
  }
  environment
    .registerType(type, { ctor: Format, fields: {} })
    .registerType('kubernetes.FormatFunctions', { ctor: FormatFunctions, fields: {} })
    .registerConstant('format', 'kubernetes.FormatFunctions', new FormatFunctions())
    .registerFunction(`kubernetes.FormatFunctions.named(string): optional<${type}>`, (_: FormatFunctions, name: string) => {
      const found = of(name)
      return found === undefined ? Optional.none() : Optional.of(found)
    })
    .registerFunction(`${type}.validate(string): optional<list<string>>`, ({ check }: Format, text: string) => {
      const wrong = check(text)
      return wrong.length === 0 ? Optional.none() : Optional.of(wrong)
    })
  for (const name of Object.keys(formats)) environment.registerFunction(`kubernetes.FormatFunctions.${name}(): ${type}`, () => of(name))
}
