// Which of the representations we have the client prefers.
import { notAcceptable } from './status.ts'

export interface Format {
  readonly as: 'object' | 'table' | 'metadata'
  readonly encoding: 'json' | 'yaml'
}

const supported = ['application/json', 'application/yaml']
const transforms: Readonly<Record<string, Format['as']>> = {
  Table: 'table',
  PartialObjectMetadata: 'metadata',
  PartialObjectMetadataList: 'metadata',
}

/** Picks by the Accept header, in the client's order (kubectl lists its preference first). */
export function negotiate(accept: string | undefined): Format {
  if (accept === undefined || accept.trim() === '') return { as: 'object', encoding: 'json' }
  for (const clause of accept.split(',')) {
    const format = acceptClause(clause)
    if (format !== undefined) return format
  }
  throw notAcceptable(supported)
}

function acceptClause(clause: string): Format | undefined {
  const [type = '', ...parameters] = clause.split(';').map((part) => part.trim())
  const encoding = encodingOf(type.toLowerCase())
  if (encoding === undefined) return undefined
  const values = new Map(parameters.map((parameter) => parameter.split('=', 2) as [string, string]))
  const as = values.get('as')
  if (as === undefined) return { as: 'object', encoding }
  const transform = transforms[as]
  const known = values.get('g') === 'meta.k8s.io' && values.get('v') === 'v1'
  return transform !== undefined && known ? { as: transform, encoding } : undefined
}

function encodingOf(type: string): Format['encoding'] | undefined {
  if (type === 'application/json' || type === '*/*' || type === 'application/*') return 'json'
  return type === 'application/yaml' ? 'yaml' : undefined
}
