// Objects of one version as another has them: by their name alone, or by a webhook of whoever defined them
// (apiextensions-apiserver pkg/apiserver/conversion, ConversionReview v1, and v1beta1 for those who know no other).
import { randomUUID } from 'node:crypto'
import { apiVersionOf, equalJson, isRecord } from '../object.ts'
import type { ApiObject } from '../object.ts'
import type { Outbound } from '../outbound.ts'
import { internalError } from '../status.ts'
import { reviewVersions } from './definition.ts'
import type { Definition, WebhookConversion } from './definition.ts'

/** Objects of any versions as one. Fails as a whole, with what went wrong. */
export type Convert = (objects: readonly ApiObject[], apiVersion: string) => readonly ApiObject[] | Promise<readonly ApiObject[]>

const timeoutMs = 30_000
/** A list may be asked for whole. */
const answerBytesMax = 256 * 1024 * 1024

/** How the objects of a definition become those of another version. */
export function converterOf({ spec }: Definition, outbound: Outbound): Convert {
  const { strategy, webhook } = spec.conversion ?? {}
  return (objects, apiVersion) => {
    if (strategy !== 'Webhook' || webhook === undefined) return objects.map((object) => ({ ...object, apiVersion }))
    const others = objects.filter((object) => object.apiVersion !== apiVersion)
    return others.length === 0 ? objects : asked(outbound, webhook, objects, others, apiVersion)
  }
}

async function asked(outbound: Outbound, { clientConfig = {}, conversionReviewVersions = [] }: WebhookConversion, objects: readonly ApiObject[], others: readonly ApiObject[], apiVersion: string): Promise<readonly ApiObject[]> {
  const [first] = others
  const failed = (why: string): Error => internalError(`conversion webhook for ${kindOf(first)} ${why}`)
  const uid = randomUUID()
  const version = conversionReviewVersions.find((each) => reviewVersions.includes(each)) ?? 'v1'
  const review = { apiVersion: `apiextensions.k8s.io/${version}`, kind: 'ConversionReview', request: { uid, desiredAPIVersion: apiVersion, objects: others } }
  let answer: unknown
  try {
    answer = await outbound.post(clientConfig, { body: review, timeoutMs, bytesMax: answerBytesMax, query: `?timeout=${timeoutMs / 1000}s` })
  } catch (error) {
    throw failed(`failed: ${(error as Error).message}`)
  }
  const response = isRecord(answer) ? answer['response'] : undefined
  if (!isRecord(response)) throw failed('failed: the answer has no response')
  if (response['uid'] !== uid) throw failed(`failed: expected response.uid ${JSON.stringify(uid)}, got ${JSON.stringify(response['uid'])}`)
  const { status, message } = (isRecord(response['result']) ? response['result'] : {}) as { status?: unknown; message?: unknown }
  if (status !== 'Success') throw failed(`failed: ${typeof message === 'string' && message !== '' ? message : 'the webhook gave no reason'}`)
  const converted = Array.isArray(response['convertedObjects']) ? response['convertedObjects'] : []
  if (converted.length !== others.length) throw failed(`returned ${converted.length} objects, expected ${others.length}`)
  const byOriginal = new Map(others.map((original, i) => [original, checked(original, converted[i], apiVersion, (why) => failed(`returned invalid converted object at index ${i}: ${why}`))]))
  return objects.map((object) => byOriginal.get(object) ?? object)
}

/** What came back, if it is the same object: of its metadata, only labels and annotations are the webhook's to say. */
function checked(original: ApiObject, converted: unknown, apiVersion: string, refuse: (why: string) => Error): ApiObject {
  if (!isRecord(converted) || !isRecord(converted['metadata'])) throw refuse('it is no object with metadata')
  if (converted['apiVersion'] !== apiVersion) throw refuse(`invalid groupVersion (expected ${apiVersion}, received ${String(converted['apiVersion'])})`)
  if (converted['kind'] !== original.kind) throw refuse(`invalid kind (expected ${original.kind ?? ''}, received ${String(converted['kind'])})`)
  const { metadata } = converted
  for (const field of ['name', 'namespace', 'uid'] as const) {
    if (!equalJson(metadata[field], original.metadata[field])) throw refuse(`invalid metadata.${field} (expected ${String(original.metadata[field])}, received ${String(metadata[field])})`)
  }
  const { labels: _labels, annotations: _annotations, ...kept } = original.metadata
  const said = Object.fromEntries((['labels', 'annotations'] as const).filter((field) => isRecord(metadata[field])).map((field) => [field, metadata[field]]))
  return { ...converted, metadata: { ...kept, ...said } }
}

function kindOf(object: ApiObject | undefined): string {
  return `${object?.apiVersion ?? ''}, Kind=${object?.kind ?? ''}`
}

/** The version of an object of a group. */
export function versionOf({ apiVersion = '' }: ApiObject, group: string): string {
  return apiVersion.startsWith(apiVersionOf({ group, version: '' })) ? apiVersion.slice(group.length + 1) : apiVersion
}
