// The Swagger 2 document in the protobuf encoding that kubectl asks for, and takes no other
// (`application/com.github.proto-openapi.spec.v2.v1.0+protobuf`). Messages: github.com/google/gnostic openapiv2/OpenAPIv2.proto;
// field numbers stand beside what they encode. Values of extensions travel as YAML, which JSON is.
import { isRecord } from '../object.ts'

type Json = Record<string, unknown>

/** Encodes what `openApiV2` makes. */
export function encodeOpenApiV2(document: Json): Buffer {
  const info = recordOf(document['info'])
  return Buffer.concat([
    text(1, document['swagger']),
    message(2, [text(1, info['title']), text(2, info['version'])]),
    message(8, Object.entries(recordOf(document['paths'])).map(([path, item]) => named(2, path, pathItem(recordOf(item))))),
    message(9, Object.entries(recordOf(document['definitions'])).map(([name, definition]) => named(1, name, schema(recordOf(definition))))),
  ])
}

const methods: Readonly<Record<string, number>> = { get: 2, put: 3, post: 4, delete: 5, patch: 8 }

function pathItem(item: Json): Buffer[] {
  const operations = Object.entries(methods).flatMap(([method, number]) => (isRecord(item[method]) ? [message(number, operation(item[method]))] : []))
  return [...operations, ...listOf(item['parameters']).map((one) => message(9, parametersItem(one)))]
}

function operation(item: Json): Buffer[] {
  const responses = Object.entries(recordOf(item['responses'])).map(([code, response]) => named(1, code, [message(1, responseOf(recordOf(response)))]))
  return [
    ...textsOf(item['produces']).map((type) => text(6, type)),
    ...textsOf(item['consumes']).map((type) => text(7, type)),
    ...listOf(item['parameters']).map((one) => message(8, parametersItem(one))),
    message(9, responses),
    ...extensions(13, item),
  ]
}

function responseOf(response: Json): Buffer[] {
  return [text(1, response['description']), ...(isRecord(response['schema']) ? [message(2, [message(1, schema(response['schema']))])] : [])]
}

/** ParametersItem > Parameter > a body, or one of the query (3) or the path (4). */
function parametersItem(parameter: Json): Buffer[] {
  const { name, in: place, required, type, schema: body } = parameter
  if (place === 'body') return [message(1, [message(1, [text(2, name), text(3, place), flag(4, required), message(5, schema(recordOf(body)))])])]
  const typed = place === 'query' ? [text(6, type), flag(20, parameter['uniqueItems'])] : [text(5, type), flag(19, parameter['uniqueItems'])]
  return [message(1, [message(2, [message(place === 'query' ? 3 : 4, [flag(1, required), text(2, place), text(4, name), ...typed])])])]
}

function schema(definition: Json): Buffer[] {
  const { $ref, format, description, required, additionalProperties, type, items, properties } = definition
  return [
    text(1, $ref),
    text(2, format),
    text(4, description),
    ...textsOf(required).map((name) => text(19, name)),
    ...(isRecord(additionalProperties) ? [message(21, [message(1, schema(additionalProperties))])] : []),
    ...(type === undefined ? [] : [message(22, [text(1, type)])]),
    ...(isRecord(items) ? [message(23, [message(1, schema(items))])] : []),
    ...(isRecord(properties) ? [message(25, Object.entries(properties).map(([name, property]) => named(1, name, schema(recordOf(property)))))] : []),
    ...extensions(31, definition),
  ]
}

function extensions(number: number, item: Json): Buffer[] {
  return Object.entries(item).flatMap(([name, value]) => (name.startsWith('x-') ? [named(number, name, [text(2, JSON.stringify(value))])] : []))
}

/** A pair of a map that is written as a list. */
function named(number: number, name: string, value: readonly Buffer[]): Buffer {
  return message(number, [text(1, name), message(2, value)])
}

const lengthDelimited = 2

function message(number: number, parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  return Buffer.concat([varint((number << 3) | lengthDelimited), varint(body.length), body])
}

function text(number: number, value: unknown): Buffer {
  return typeof value === 'string' && value !== '' ? message(number, [Buffer.from(value)]) : Buffer.alloc(0)
}

function flag(number: number, value: unknown): Buffer {
  return value === true ? Buffer.concat([varint(number << 3), varint(1)]) : Buffer.alloc(0)
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80)
  bytes.push(rest)
  return Buffer.from(bytes)
}

function recordOf(value: unknown): Json {
  return isRecord(value) ? value : {}
}

function listOf(value: unknown): Json[] {
  return Array.isArray(value) ? value.filter(isRecord) : []
}

function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : []
}
