// Versions of a custom resource that a webhook converts: what is stored, what each version shows, and what happens when the webhook fails.
import t from 'tap'
import type { Test } from 'tap'
import { systemClock } from '../../../api/clock.ts'
import type { ApiServer } from '../index.ts'
import { ask, startTestServer } from '../test-support/server.ts'
import { startWebhook } from '../test-support/webhook.ts'
import type { Webhook } from '../test-support/webhook.ts'
import type { Store } from '../../store/index.ts'

type Json = Record<string, unknown>

const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
const definitionPath = `${definitions}/widgets.example.com`
const at = (version: string): string => `/apis/example.com/${version}/namespaces/default/widgets`

/** v1 has a size, v2 width and height. */
const version = (name: string, storage: boolean): Json => ({
  name, served: true, storage, subresources: { status: {} }, selectableFields: name === 'v2' ? [{ jsonPath: '.spec.width' }] : [{ jsonPath: '.spec.size' }],
  schema: { openAPIV3Schema: { type: 'object', properties: { spec: { type: 'object', properties: name === 'v1' ? { size: { type: 'string' } } : { width: { type: 'integer' }, height: { type: 'integer', default: 1 } } }, status: { type: 'object', properties: { ready: { type: 'boolean' } } } } } },
  additionalPrinterColumns: [{ name: 'What', type: 'string', jsonPath: name === 'v1' ? '.spec.size' : '.spec.width' }],
})

function definition(hook: Webhook, stored: string, ...versions: string[]): Json {
  return {
    metadata: { name: 'widgets.example.com' },
    spec: {
      group: 'example.com', scope: 'Namespaced', names: { plural: 'widgets', kind: 'Widget' }, versions: versions.map((name) => version(name, name === stored)),
      conversion: { strategy: 'Webhook', webhook: { clientConfig: hook.clientConfig('/convert'), conversionReviewVersions: ['v1'] } },
    },
  }
}

function convert(object: Json, apiVersion: string): Json {
  if (object['apiVersion'] === apiVersion) return object
  const spec = object['spec'] as { size?: string; width?: number; height?: number }
  const [width, height] = (spec.size ?? '0x0').split('x').map(Number)
  return { ...object, apiVersion, metadata: { ...(object['metadata'] as Json), annotations: { converted: 'yes' }, finalizers: ['not/mine'] }, spec: apiVersion === 'example.com/v1' ? { size: `${spec.width ?? 0}x${spec.height ?? 0}` } : { width, height } }
}

/** What goes wrong with the webhook, if something is to. */
interface Trouble {
  is?: 'status' | 'failed' | 'fewer' | 'version' | 'name' | 'uid' | 'text'
}

function answer(body: Json, trouble: Trouble): unknown {
  const { uid, desiredAPIVersion, objects } = body['request'] as { uid: string; desiredAPIVersion: string; objects: Json[] }
  const converted = objects.map((object) => convert(object, desiredAPIVersion))
  const review = (response: Json): Json => ({ apiVersion: 'apiextensions.k8s.io/v1', kind: 'ConversionReview', response: { uid, convertedObjects: converted, result: { status: 'Success' }, ...response } })
  switch (trouble.is) {
    case 'status': return 500
    case 'failed': return review({ result: { status: 'Failed', message: 'no such size' } })
    case 'fewer': return review({ convertedObjects: converted.slice(1) })
    case 'version': return review({ convertedObjects: converted.map((one) => ({ ...one, apiVersion: 'example.com/v9' })) })
    case 'name': return review({ convertedObjects: converted.map((one) => ({ ...one, metadata: { ...(one['metadata'] as Json), name: 'other' } })) })
    case 'uid': return review({ uid: 'x' })
    case 'text': return 'so what'
  }
  return review({})
}

async function until(what: () => Promise<boolean>): Promise<void> {
  while (!(await what())) await systemClock.sleep(5)
}

async function defined(t: Test): Promise<{ server: ApiServer; store: Store; hook: Webhook; trouble: Trouble }> {
  const trouble: Trouble = {}
  const { server, store } = await startTestServer(t)
  const hook = await startWebhook(t, (_path, body) => answer(body, trouble))
  const made = await ask(server, 'POST', definitions, definition(hook, 'v1', 'v1', 'v2'))
  t.equal(made.status, 201, made.text.slice(0, 300))
  await until(async () => (await ask(server, 'GET', at('v1'))).status === 200)
  return { server, store, hook, trouble }
}

const stored = async (store: Store, name: string): Promise<Json> => {
  const { entries } = await store.range(`/registry/example.com/widgets/default/${name}`)
  return JSON.parse(Buffer.from(entries[0]?.value ?? '').toString()) as Json
}

t.test('every version is written and read, by get, list, table, watch, patch and apply; one is stored', async (t) => {
  const { server, store, hook } = await defined(t)
  const second = await ask(server, 'POST', at('v2'), { metadata: { name: 'a', labels: { x: 'y' } }, spec: { width: 2, height: 3 } })
  t.match(second, { status: 201, body: { apiVersion: 'example.com/v2', spec: { width: 2, height: 3 } } })
  t.match(await stored(store, 'a'), { apiVersion: 'example.com/v1', spec: { size: '2x3' }, metadata: { labels: { x: 'y' }, annotations: { converted: 'yes' }, uid: /./ } })
  t.notOk('finalizers' in ((await stored(store, 'a'))['metadata'] as Json), 'of the metadata only labels and annotations are the webhook\'s to say')
  t.match((await ask(server, 'GET', `${at('v1')}/a`)).body, { apiVersion: 'example.com/v1', spec: { size: '2x3' } })
  await ask(server, 'POST', at('v1'), { metadata: { name: 'b' }, spec: { size: '4x5' } })
  const { body } = await ask(server, 'GET', at('v2'))
  t.match(body, { apiVersion: 'example.com/v2', items: [{ apiVersion: 'example.com/v2', spec: { width: 2 } }, { spec: { width: 4, height: 5 } }] })
  const asked = hook.posted.length
  t.match((await ask(server, 'GET', `${at('v2')}?fieldSelector=spec.width%3D4`)).body, { items: [{ metadata: { name: 'b' } }] })
  t.equal(hook.posted.length, asked, 'what was converted before is not asked for again')
  t.match((await ask(server, 'GET', `${at('v2')}?limit=1`)).body, { metadata: { remainingItemCount: 1, continue: /./ }, items: [{ metadata: { name: 'a' } }] })
  t.match((await ask(server, 'GET', at('v2'), undefined, { accept: 'application/json;as=Table;g=meta.k8s.io;v=v1' })).body, { rows: [{ cells: ['a', '2'] }, { cells: ['b', '4'] }] })
  t.match(await ask(server, 'PATCH', `${at('v2')}/b`, { spec: { height: 9 } }, { 'content-type': 'application/merge-patch+json' }), { status: 200, body: { spec: { width: 4, height: 9 } } })
  t.match(await ask(server, 'PATCH', `${at('v2')}/b?fieldManager=me&force=true`, { apiVersion: 'example.com/v2', kind: 'Widget', spec: { width: 7 } }, { 'content-type': 'application/apply-patch+yaml' }), { status: 200, body: { spec: { width: 7, height: 9 } } })
  t.match((await ask(server, 'PATCH', `${at('v2')}/b/status`, { status: { ready: true } }, { 'content-type': 'application/merge-patch+json' })).body, { apiVersion: 'example.com/v2', spec: { width: 7 }, status: { ready: true } })
  t.match(await stored(store, 'b'), { apiVersion: 'example.com/v1', spec: { size: '7x9' }, status: { ready: true } })
  t.match((await ask(server, 'DELETE', `${at('v2')}/b`)).status, 200)
})

t.test('a watch shows one version, in the order of revisions, and ends with an error when the webhook fails', async (t) => {
  const { server, trouble } = await defined(t)
  await ask(server, 'POST', at('v1'), { metadata: { name: 'a' }, spec: { size: '1x1' } })
  const path = `${at('v2')}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true`
  const { body } = await server.transport({ name: 'a', groups: ['system:masters'] })({ method: 'GET', path })
  const seen: Json[] = []
  let text = ''
  const changes = [
    () => ask(server, 'PATCH', `${at('v1')}/a`, { spec: { size: '2x2' } }, { 'content-type': 'application/merge-patch+json' }),
    () => ask(server, 'POST', at('v1'), { metadata: { name: 'b' }, spec: { size: '3x3' } }),
    () => ask(server, 'DELETE', `${at('v1')}/a`),
    () => {
      trouble.is = 'failed'
      return ask(server, 'POST', at('v1'), { metadata: { name: 'c' }, spec: { size: '3x3' } })
    },
  ]
  for await (const piece of body) {
    text += Buffer.from(piece).toString()
    const lines = text.split('\n')
    text = lines.pop() ?? ''
    seen.push(...lines.map((line) => JSON.parse(line) as Json))
    if (seen.length >= 2) await changes.shift()?.()
  }
  t.match(seen, [
    { type: 'ADDED', object: { apiVersion: 'example.com/v2', spec: { width: 1 } } },
    { type: 'BOOKMARK', object: { apiVersion: 'example.com/v2', metadata: { annotations: { 'k8s.io/initial-events-end': 'true' } } } },
    { type: 'MODIFIED', object: { spec: { width: 2 } } },
    { type: 'ADDED', object: { metadata: { name: 'b' }, spec: { width: 3 } } },
    { type: 'DELETED', object: { metadata: { name: 'a' }, spec: { width: 2 } } },
    { type: 'ERROR', object: { code: 500, message: /conversion webhook for example.com\/v1, Kind=Widget failed: no such size/ } },
  ])
})

t.test('what goes wrong with the webhook is a 500 that says what, and nothing is changed', async (t) => {
  const { server, store, trouble } = await defined(t)
  await ask(server, 'POST', at('v1'), { metadata: { name: 'a' }, spec: { size: '1x2' } })
  const troubles: readonly [NonNullable<Trouble['is']>, RegExp][] = [
    ['status', /conversion webhook for example.com\/v1, Kind=Widget failed: Post "https:.*convert\?timeout=30s".*500/],
    ['failed', /failed: no such size/],
    ['fewer', /returned 0 objects, expected 1/],
    ['version', /returned invalid converted object at index 0: invalid groupVersion \(expected example.com\/v2, received example.com\/v9\)/],
    ['name', /invalid metadata.name \(expected a, received other\)/],
    ['uid', /expected response.uid/],
    ['text', /failed: .*/],
  ]
  for (const [is, message] of troubles) {
    trouble.is = is
    t.match(await ask(server, 'GET', `${at('v2')}/a`), { status: 500, body: { kind: 'Status', reason: 'InternalError', message } }, is)
  }
  t.match(await ask(server, 'GET', at('v2')), { status: 500 })
  t.match(await ask(server, 'PATCH', `${at('v2')}/a`, { spec: { height: 9 } }, { 'content-type': 'application/merge-patch+json' }), { status: 500 })
  t.match(await ask(server, 'POST', at('v2'), { metadata: { name: 'b' }, spec: { width: 1 } }), { status: 500 })
  t.match(await ask(server, 'GET', `${at('v1')}/a`), { status: 200 }, 'the stored version needs nobody')
  t.match(await stored(store, 'a'), { spec: { size: '1x2' } })
  delete trouble.is
  t.match(await ask(server, 'GET', `${at('v2')}/a`), { status: 200, body: { spec: { width: 1, height: 2 } } })
})

t.test('another version may be stored from now on: what is written again moves over', async (t) => {
  const { server, store, hook } = await defined(t)
  await ask(server, 'POST', at('v1'), { metadata: { name: 'a' }, spec: { size: '1x2' } })
  const { body } = await ask(server, 'GET', definitionPath)
  const { spec } = definition(hook, 'v2', 'v1', 'v2')
  t.match(await ask(server, 'PUT', definitionPath, { ...body, spec }), { status: 200 })
  await until(async () => JSON.stringify((await ask(server, 'GET', definitionPath)).body).includes('"storedVersions":["v1","v2"]'))
  t.match((await ask(server, 'GET', `${at('v1')}/a`)).body, { apiVersion: 'example.com/v1', spec: { size: '1x2' } })
  const read = await ask(server, 'GET', `${at('v2')}/a`)
  t.match(read.body, { spec: { width: 1, height: 2 } })
  t.match(await stored(store, 'a'), { apiVersion: 'example.com/v1' })
  const written = await ask(server, 'PUT', `${at('v2')}/a`, read.body)
  t.match(written, { status: 200 })
  t.match(await stored(store, 'a'), { apiVersion: 'example.com/v2', spec: { width: 1, height: 2 } }, 'a write that changes nothing moves it over')
  t.not((written.body['metadata'] as Json)['resourceVersion'], (read.body['metadata'] as Json)['resourceVersion'])
  t.match((await ask(server, 'GET', `${at('v1')}/a`)).body, { spec: { size: '1x2' } })

  // A version may go when it is stored nowhere any more, and nobody says that it is.
  const only = definition(hook, 'v2', 'v2')['spec']
  const present = await ask(server, 'GET', definitionPath)
  t.match(await ask(server, 'PUT', definitionPath, { ...present.body, spec: only }), { status: 422, body: { message: /status.storedVersions: Invalid value: "v1": must appear in spec.versions/ } })
  await ask(server, 'PATCH', `${definitionPath}/status`, { status: { storedVersions: ['v2'] } }, { 'content-type': 'application/merge-patch+json' })
  await until(async () => (await ask(server, 'PUT', definitionPath, { ...(await ask(server, 'GET', definitionPath)).body, spec: only })).status === 200)
  await until(async () => (await ask(server, 'GET', at('v1'))).status === 404)
  t.match(await ask(server, 'GET', `${at('v2')}/a`), { status: 200, body: { spec: { width: 1 } } })
})

t.test('a webhook that is not well described is refused', async (t) => {
  const { server } = await startTestServer(t)
  const hook = { url: '', posted: [], clientConfig: () => ({ url: 'https://127.0.0.1:1/x', caBundle: '' }) }
  const whole = definition(hook, 'v1', 'v1', 'v2') as { spec: Json }
  for (const [conversion, message] of [
    [{ strategy: 'Webhook' }, /spec.conversion.webhook.clientConfig: Required value/],
    [{ strategy: 'Other' }, /spec.conversion.strategy: Unsupported value: "Other"/],
    [{ strategy: 'Webhook', webhook: { clientConfig: { url: 'http://x' }, conversionReviewVersions: ['v1'] } }, /'https' is the only allowed URL scheme/],
    [{ strategy: 'Webhook', webhook: { clientConfig: { url: 'https://x' }, conversionReviewVersions: ['v2'] } }, /conversionReviewVersions: Invalid value/],
  ] as const) t.match(await ask(server, 'POST', definitions, { ...whole, spec: { ...whole.spec, conversion } }), { status: 422, body: { message } })
})
