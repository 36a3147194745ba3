// Which of the representations we have the client prefers.
import { notAcceptable } from './status.ts'

export interface Format {
  readonly as: 'object' | 'table' | 'metadata'
  readonly encoding: 'json' | 'yaml' | 'protobuf'
}

const transforms: Readonly<Record<string, Format['as']>> = {
  Table: 'table',
  PartialObjectMetadata: 'metadata',
  PartialObjectMetadataList: 'metadata',
}

const encodings: Readonly<Record<string, Format['encoding']>> = {
  'application/json': 'json', '*/*': 'json', 'application/*': 'json', 'application/yaml': 'yaml', 'application/vnd.kubernetes.protobuf': 'protobuf',
}

/** Picks by the Accept header: by quality, then in the client's order (kubectl lists its preference first). Not every resource has protobuf. */
export function negotiate(accept: string | undefined, hasProtobuf = false): Format {
  if (accept === undefined || accept.trim() === '') return { as: 'object', encoding: 'json' }
  const clauses = accept.split(',').map(parseClause).filter(({ quality }) => quality > 0)
  for (const clause of clauses.toSorted((a, b) => b.quality - a.quality)) {
    const format = formatOf(clause)
    if (format === undefined || (format.encoding === 'protobuf' && (!hasProtobuf || format.as === 'table'))) continue
    return format
  }
  throw notAcceptable(['application/json', 'application/yaml', ...(hasProtobuf ? ['application/vnd.kubernetes.protobuf'] : [])])
}

interface Clause {
  readonly type: string
  readonly parameters: ReadonlyMap<string, string>
  readonly quality: number
}

function parseClause(clause: string): Clause {
  const [type = '', ...rest] = clause.split(';').map((part) => part.trim())
  const parameters = new Map(rest.map((parameter) => parameter.split('=', 2) as [string, string]))
  const quality = Number(parameters.get('q') ?? 1)
  return { type: type.toLowerCase(), parameters, quality: Number.isNaN(quality) ? 1 : quality }
}

function formatOf({ type, parameters }: Clause): Format | undefined {
  const encoding = Object.hasOwn(encodings, type) ? encodings[type] : undefined
  if (encoding === undefined) return undefined
  const as = parameters.get('as')
  if (as === undefined) return { as: 'object', encoding }
  const transform = Object.hasOwn(transforms, as) ? transforms[as] : undefined
  const known = parameters.get('g') === 'meta.k8s.io' && parameters.get('v') === 'v1'
  return transform !== undefined && known ? { as: transform, encoding } : undefined
}
