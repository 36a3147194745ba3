import * as fc from 'fast-check'
import t from 'tap'
import { parseQuantity } from '../../../api/quantity.ts'
import { cloneJson } from '../object.ts'
import type { ApiObject } from '../object.ts'
import { listStrategy } from '../patch/merge-keys.ts'
import { builtinResources } from '../resources/index.ts'
import { checkFields, encodeOpenApiV2, openApiV2, openApiV3, strictMessage } from './index.ts'
import { definition, definitionName, listRule } from './definitions.ts'
import { canonicalQuantity } from './quantity.ts'

const podKind = { group: '', version: 'v1', kind: 'Pod' }

function check(kind: { group: string; version: string; kind: string }, object: Record<string, unknown>): { unknown: string[]; object: ApiObject } {
  const checked = cloneJson({ metadata: {}, ...object }) as ApiObject
  return { unknown: checkFields(kind, checked), object: checked }
}

t.test('unknown fields are named by their path and taken out', (t) => {
  const { unknown, object } = check(podKind, {
    metadata: { name: 'x', label: {} },
    spec: { containers: [{ name: 'a' }, { name: 'b', imagge: 'y', ports: [{ port: 1, containerPort: 80 }] }], volumes: [{ name: 'v', emptyDir: { x: 1 } }] },
    more: 1,
  })
  t.same(unknown.toSorted(), [
    'unknown field "metadata.label"', 'unknown field "more"', 'unknown field "spec.containers[1].imagge"', 'unknown field "spec.containers[1].ports[0].port"', 'unknown field "spec.volumes[0].emptyDir.x"',
  ])
  t.same(object, { metadata: { name: 'x' }, spec: { containers: [{ name: 'a' }, { name: 'b', ports: [{ containerPort: 80 }] }], volumes: [{ name: 'v', emptyDir: {} }] } })
  t.equal(strictMessage(podKind, unknown.slice(0, 1)), `Pod in version "v1" cannot be handled as a Pod: strict decoding error: ${unknown[0]}`)
  t.end()
})

t.test('keys of maps are nobody else\'s business', (t) => {
  const object = { metadata: { labels: { anything: 'goes', constructor: 'x' }, annotations: { 'a/b': 'c' } }, data: { 'tls.crt': 'x' } }
  t.same(check({ group: '', version: 'v1', kind: 'ConfigMap' }, object), { unknown: [], object })
  t.end()
})

const wrong: [object, string][] = [
  [{ spec: { containers: 'many' } }, 'json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container'],
  [{ spec: [] }, 'json: cannot unmarshal array into Go struct field Pod.spec of type v1.PodSpec'],
  [{ spec: { containers: [{ name: 5 }] } }, 'json: cannot unmarshal number into Go struct field Container.spec.containers.name of type string'],
  [{ spec: { containers: ['a'] } }, 'json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type v1.Container'],
  [{ spec: { hostNetwork: 'yes' } }, 'json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool'],
  [{ spec: { terminationGracePeriodSeconds: 1.5 } }, 'json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.terminationGracePeriodSeconds of type int64'],
  [{ spec: { priority: 3_000_000_000 } }, 'json: cannot unmarshal number 3000000000 into Go struct field PodSpec.spec.priority of type int32'],
  [{ spec: { nodeSelector: { a: true } } }, 'json: cannot unmarshal bool into Go struct field PodSpec.spec.nodeSelector of type string'],
  [{ metadata: { labels: ['a'] } }, 'json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type map[string]string'],
  [{ metadata: { creationTimestamp: 'today' } }, 'parsing time "today" as "2006-01-02T15:04:05Z07:00": cannot parse "today" as "2006"'],
  [{ spec: { containers: [{ resources: { limits: { cpu: 'lots' } } }] } }, 'quantities must match the regular expression'],
  [{ spec: { containers: [{ livenessProbe: { httpGet: { port: true } } }] } }, 'json: cannot unmarshal bool into Go value of type int32'],
]

for (const [object, message] of wrong) {
  t.test(`a wrong type is told as Go's decoder tells it: ${message}`, (t) => {
    const text = `Pod in version "v1" cannot be handled as a Pod: ${message}`
    t.throws(() => check(podKind, object as Record<string, unknown>), { code: 400, reason: 'BadRequest', message: new RegExp(`^${text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')}`) })
    t.end()
  })
}

t.test('bytes are base64', (t) => {
  const secret = { group: '', version: 'v1', kind: 'Secret' }
  t.same(check(secret, { data: { a: 'eA==\n', b: '' } }).object['data'], { a: 'eA==', b: '' })
  for (const text of ['eA=', 'e', '!!!!', 'eA==eA==']) t.throws(() => check(secret, { data: { a: text } }), /illegal base64 data at input byte/, text)
  t.end()
})

t.test('a null is nothing, in a list the zero of its type', (t) => {
  t.same(check(podKind, { spec: { nodeName: null, containers: [null], tolerations: null } }).object['spec'], { containers: [{}] })
  t.end()
})

t.test('quantities get the one form in which they are written', (t) => {
  const cases: Record<string, string> = {
    '0.5': '500m', '1000m': '1', '1': '1', '1.0': '1', '0': '0', '-1': '-1', '1024Mi': '1Gi', '1.5Gi': '1536Mi', '1536Ki': '1536Ki', '0.5Ki': '512', '1000': '1k', '1e3': '1e3',
    '100n': '100n', '0.0000000001': '1n', '2500m': '2500m', '.5': '500m', '5.': '5', '+1': '1', '1M': '1M', '1000k': '1M', '12e6': '12e6', '128974848': '128974848', '1023Mi': '1023Mi',
  }
  for (const [given, written] of Object.entries(cases)) t.equal(canonicalQuantity(given), written, given)
  for (const given of ['', '.', 'x', '1x', '1KI', '1ki', '--1', '1 Gi', '1e', '0x1']) t.equal(canonicalQuantity(given), undefined, given)
  t.same(check(podKind, { spec: { containers: [{ resources: { limits: { cpu: 0.5, memory: 1024 } } }] } }).object['spec'], { containers: [{ resources: { limits: { cpu: '500m', memory: '1024' } } }] })
  t.end()
})

t.test('the form of a quantity keeps its value, and is its own form', (t) => {
  const quantity = fc.tuple(fc.integer({ min: 0, max: 1e6 }), fc.constantFrom('', 'm', 'u', 'k', 'M', 'G', 'Ki', 'Mi', 'Gi', 'e3', 'e-3')).map(([value, unit]) => `${value}${unit}`)
  fc.assert(
    fc.property(quantity, (text) => {
      const written = canonicalQuantity(text)
      if (written === undefined) return false
      return Math.abs(parseQuantity(written) - parseQuantity(text)) <= Math.abs(parseQuantity(text)) * 1e-12 && canonicalQuantity(written) === written
    }),
  )
  t.end()
})

t.test('whatever JSON comes: only known fields are left, or it is refused with a 400', (t) => {
  const field = fc.constantFrom('spec', 'containers', 'name', 'metadata', 'labels', 'ports', 'containerPort', 'x', 'status', 'resources', 'limits', 'constructor')
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof({ maxDepth: 5 }, fc.string(), fc.integer(), fc.double(), fc.boolean(), fc.constant(null), fc.array(tie('tree'), { maxLength: 3 }), tie('object')),
    object: fc.dictionary(field, tie('tree'), { maxKeys: 5 }),
  }))
  fc.assert(
    fc.property(fc.dictionary(field, tree, { maxKeys: 5 }), (object) => {
      try {
        const first = check(podKind, object)
        return check(podKind, first.object).unknown.length === 0
      } catch (error) {
        return (error as { code?: number }).code === 400
      }
    }),
    { numRuns: 500 },
  )
  t.end()
})

t.test('every kind that can be written has its fields, and custom kinds pass as they are', (t) => {
  for (const row of builtinResources()) if (row.plural !== 'customresourcedefinitions') t.ok(definitionName(row), row.plural)
  const widget = { group: 'example.com', version: 'v1', kind: 'Pod' }
  t.equal(definitionName({ group: 'apps.example.com', version: 'v1', kind: 'Deployment' }), undefined)
  t.same(check(widget, { anything: { goes: 1 } }), { unknown: [], object: { metadata: {}, anything: { goes: 1 } } })
  t.end()
})

t.test('lists are merged by the same keys here and in strategic merge patches', (t) => {
  for (const row of builtinResources()) {
    const name = definitionName(row)
    if (name === undefined || row.virtual === true) continue
    for (const { path, owner } of listsOf(name, [], new Set())) {
      const strategy = listStrategy({ kind: row.kind, path })
      const here = strategy === undefined ? undefined : 'by' in strategy ? strategy.by : ''
      t.equal(listRule(owner, path.at(-1) ?? '')?.merge, here, `${row.kind} ${path.join('.')}`)
    }
  }
  t.end()
})

function listsOf(name: string, path: readonly string[], above: ReadonlySet<string>): { path: string[]; owner: string }[] {
  if (above.has(name)) return []
  return [...definition(name)].flatMap(([field, { type }]) => {
    const here = [...path, field]
    const inner = type.of === 'list' || type.of === 'map' ? type.item : type
    // What stands in a list that is replaced as a whole is never merged.
    const isWhole = type.of === 'list' && listRule(name, field)?.merge === undefined
    const below = inner.of === 'object' && !isWhole ? listsOf(inner.name, here, new Set([...above, name])) : []
    return type.of === 'list' ? [{ path: here, owner: name }, ...below] : below
  })
}

t.test('every reference of the documents leads to a schema, and every kind is marked', (t) => {
  const table = builtinResources()
  for (const { group, version } of table) {
    const document = openApiV3({ group, version }, table) as { components: { schemas: Record<string, unknown> } }
    t.same(missing(document, '#/components/schemas/', document.components.schemas), [], `${group}/${version}`)
  }
  const swagger = openApiV2(table) as { definitions: Record<string, Record<string, unknown>> }
  t.same(missing(swagger, '#/definitions/', swagger.definitions), [])
  t.match(swagger.definitions['io.k8s.api.core.v1.Pod'], { 'x-kubernetes-group-version-kind': [{ group: '', kind: 'Pod', version: 'v1' }], properties: { spec: { $ref: '#/definitions/io.k8s.api.core.v1.PodSpec' } } })
  t.end()
})

function missing(document: object, prefix: string, schemas: object): string[] {
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map((match) => match[1] ?? '')
  return [...new Set(references)].filter((reference) => !Object.hasOwn(schemas, reference.slice(prefix.length)))
}

t.test('kubectl finds what it looks for', (t) => {
  const document = openApiV3({ group: 'apps', version: 'v1' }, builtinResources()) as { paths: Record<string, Record<string, unknown>>; components: { schemas: Record<string, unknown> } }
  t.match(document.paths['/apis/apps/v1/namespaces/{namespace}/deployments/{name}'], {
    patch: {
      parameters: [{ name: 'dryRun' }, { name: 'fieldManager' }, { name: 'fieldValidation', in: 'query' }],
      requestBody: { content: { 'application/strategic-merge-patch+json': {} } },
      'x-kubernetes-group-version-kind': { group: 'apps', kind: 'Deployment', version: 'v1' },
    },
  })
  t.match(document.components.schemas['io.k8s.api.core.v1.PodSpec'], { required: ['containers'], properties: { containers: { 'x-kubernetes-patch-strategy': 'merge', 'x-kubernetes-patch-merge-key': 'name' }, volumes: { 'x-kubernetes-patch-strategy': 'merge,retainKeys' } } })
  t.match(document.components.schemas['io.k8s.api.apps.v1.DeploymentSpec'], { properties: { strategy: { 'x-kubernetes-patch-strategy': 'retainKeys' } } })
  t.match(document.components.schemas['io.k8s.apimachinery.pkg.api.resource.Quantity'], { oneOf: [{ type: 'string' }, { type: 'number' }] })
  t.end()
})

t.test('the protobuf form of the Swagger document begins as OpenAPIv2.proto says', (t) => {
  const bytes = encodeOpenApiV2({ swagger: '2.0', info: { title: 'T', version: 'v' }, paths: {}, definitions: { D: { type: 'object', 'x-a': [1] } } })
  // 1 swagger, 2 info { 1 title, 2 version }, 8 paths, 9 definitions { 1 { 1 name, 2 schema { 22 type, 31 extension } } }
  t.equal(bytes.toString('hex'), ['0a03322e30', '1206', '0a0154', '120176', '4200', '4a21', '0a1f', '0a0144', '121a', 'b20108', '0a066f626a656374', 'fa010c', '0a03782d61', '1205', '12035b315d'].join(''))
  t.end()
})
