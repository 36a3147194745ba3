// Label and field selectors of a request, made ready to be matched against many objects.
import type { Entry } from './cache/index.ts'
import type { ResourceDescriptor } from './descriptor.ts'
import { badRequest } from './status.ts'

interface LabelRequirement {
  readonly key: string
  readonly operator: 'in' | 'notin' | 'exists' | '!' | 'gt' | 'lt'
  readonly values: readonly string[]
}

interface FieldRequirement {
  readonly field: string
  readonly equal: boolean
  readonly value: string
}

/** What of a resource a request is about. `matches` is undefined when that is everything. */
export interface Selection {
  readonly namespace: string
  /** Set when the selection is one name. */
  readonly name: string | undefined
  readonly matches: ((entry: Entry) => boolean) | undefined
}

const label = `(?:[a-zA-Z0-9][-a-zA-Z0-9_./]*)`
const requirement = new RegExp(
  `^\\s*(?:(!)\\s*(${label})|(${label})\\s+(in|notin)\\s*\\(([^)]*)\\)|(${label})\\s*(==|=|!=|>|<)\\s*([-a-zA-Z0-9_.]*)|(${label}))\\s*(,|$)`,
)

/** Parses `a=b,c in (d,e),!f`. */
function parseLabels(text: string): LabelRequirement[] {
  const requirements: LabelRequirement[] = []
  let rest = text
  while (rest.trim() !== '') {
    const match = requirement.exec(rest)
    if (match === null) throw badRequest(`unable to parse requirement: found '${rest}', expected: a label selector such as a=b, a in (b,c) or !a`)
    const [whole, , absent, setKey, setOperator, setValues = '', key, sign, value = '', present, separator] = match
    if (absent !== undefined) requirements.push({ key: absent, operator: '!', values: [] })
    else if (setKey !== undefined) {
      const values = setValues.split(',').map((item) => item.trim())
      requirements.push({ key: setKey, operator: setOperator === 'in' ? 'in' : 'notin', values })
    } else if (key !== undefined) {
      const operator = sign === '!=' ? 'notin' : sign === '>' ? 'gt' : sign === '<' ? 'lt' : 'in'
      requirements.push({ key, operator, values: [value] })
    } else requirements.push({ key: present ?? '', operator: 'exists', values: [] })
    rest = rest.slice(whole.length)
    if (separator === ',' && rest.trim() === '') throw badRequest(`unable to parse requirement: nothing follows the last comma of '${text}'`)
  }
  return requirements
}

function matchesLabel({ key, operator, values }: LabelRequirement, labels: Readonly<Record<string, string>> | undefined): boolean {
  const value = labels !== undefined && Object.hasOwn(labels, key) ? labels[key] : undefined
  switch (operator) {
    case 'exists':
      return value !== undefined
    case '!':
      return value === undefined
    case 'in':
      return value !== undefined && values.includes(value)
    case 'notin':
      return value === undefined || !values.includes(value)
    case 'gt':
      return value !== undefined && Number(value) > Number(values[0])
    case 'lt':
      return value !== undefined && Number(value) < Number(values[0])
  }
}

function parseFields(text: string): FieldRequirement[] {
  return text
    .split(',')
    .filter((part) => part.trim() !== '')
    .map((part) => {
      const match = /^\s*([^=!\s]+)\s*(==|=|!=)\s*(.*)$/.exec(part)
      if (match === null) throw badRequest(`invalid selector: '${text}'; can't understand '${part}'`)
      const [, field = '', operator, value = ''] = match
      return { field, equal: operator !== '!=', value: value.trim() }
    })
}

function fieldReader(descriptor: ResourceDescriptor, field: string): (entry: Entry) => string {
  if (field === 'metadata.name') return (entry) => entry.name
  if (field === 'metadata.namespace' && descriptor.namespaced) return (entry) => entry.namespace
  const read = descriptor.fieldSelectors?.[field]
  if (read === undefined) throw badRequest(`field label not supported: ${field}`)
  return (entry) => read(entry.object)
}

/** Reads namespace, `labelSelector` and `fieldSelector` of a request into one test. */
export function parseSelection(descriptor: ResourceDescriptor, query: URLSearchParams, namespace: string, name = ''): Selection {
  const labels = parseLabels(query.get('labelSelector') ?? '')
  const fields = parseFields(query.get('fieldSelector') ?? '')
  if (name !== '') fields.push({ field: 'metadata.name', equal: true, value: name })
  const tests: ((entry: Entry) => boolean)[] = fields.map(({ field, equal, value }) => {
    const read = fieldReader(descriptor, field)
    return (entry) => (read(entry) === value) === equal
  })
  if (labels.length > 0) tests.push((entry) => labels.every((one) => matchesLabel(one, entry.object.metadata.labels)))
  return {
    namespace: descriptor.namespaced ? namespace : '',
    name: fields.find(({ field, equal }) => field === 'metadata.name' && equal)?.value,
    matches: tests.length === 0 ? undefined : (entry) => tests.every((test) => test(entry)),
  }
}

/** `matches` and the namespace together: what a watcher asks of every change. */
export function inSelection(selection: Selection): (entry: Entry) => boolean {
  const { namespace, matches } = selection
  return (entry) => (namespace === '' || entry.namespace === namespace) && (matches === undefined || matches(entry))
}
