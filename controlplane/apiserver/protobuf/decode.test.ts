// Bodies as kubectl 1.35 sends them, written by a small encoder of our own.
import { assert, property, uint8Array, constantFrom } from 'fast-check'
import t from 'tap'
import { StatusError } from '../status.ts'
import { decodeProtobuf } from './decode.ts'

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = BigInt.asUintN(64, BigInt(value))
  do {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0))
    rest >>= 7n
  } while (rest > 0n)
  return Buffer.from(bytes)
}

type Value = number | boolean | string | Buffer

function message(...fields: [number: number, value: Value][]): Buffer {
  return Buffer.concat(fields.flatMap(([number, value]) => {
    if (typeof value === 'number' || typeof value === 'boolean') return [varint(number << 3), varint(Number(value))]
    const bytes = Buffer.from(value as string)
    return [varint((number << 3) | 2), varint(bytes.length), bytes]
  }))
}

const body = (apiVersion: string, kind: string, object: Buffer): Buffer => Buffer.concat([Buffer.from('k8s\0'), message([1, message([1, apiVersion], [2, kind])], [2, object], [3, ''], [4, ''])])
const metadata = message([1, 'n'], [2, ''], [3, 'ns'], [7, 0], [8, ''], [11, message([1, 'app'], [2, 'web'])], [11, message([1, 'empty'], [2, ''])])

t.test('a deployment has the fields of its JSON, without the zeros that Go adds', (t) => {
  const container = message([1, 'c'], [2, 'busybox:1'], [6, message([1, ''], [2, 0], [3, 8080], [4, 'TCP'])], [8, message([1, message([1, 'cpu'], [2, message([1, '250m'])])])], [16, false], [18, false])
  const volume = message([1, 'v'], [2, message([2, message([1, ''])])])
  const template = message([1, metadata], [2, message([1, volume], [2, container], [3, ''], [4, 0], [11, false])])
  const strategy = message([1, 'RollingUpdate'], [2, message([1, message([1, 1], [2, 0], [3, '25%'])], [2, message([1, 0], [2, 1], [3, ''])])])
  const spec = message([1, 0], [2, message([1, message([1, 'app'], [2, 'web'])])], [3, template], [4, strategy], [5, 0], [7, false])
  t.same(decodeProtobuf(body('apps/v1', 'Deployment', message([1, metadata], [2, spec], [3, message([1, 0])]))), {
    apiVersion: 'apps/v1', kind: 'Deployment',
    metadata: { name: 'n', namespace: 'ns', labels: { app: 'web', empty: '' } },
    spec: {
      replicas: 0, selector: { matchLabels: { app: 'web' } },
      template: {
        metadata: { name: 'n', namespace: 'ns', labels: { app: 'web', empty: '' } },
        spec: { volumes: [{ name: 'v', emptyDir: {} }], containers: [{ name: 'c', image: 'busybox:1', ports: [{ containerPort: 8080, protocol: 'TCP' }], resources: { limits: { cpu: '250m' } } }], terminationGracePeriodSeconds: 0 },
      },
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '25%', maxSurge: 1 } },
    },
    status: {},
  })
  t.end()
})

t.test('bytes, times, lists with a name and delete options', (t) => {
  t.match(decodeProtobuf(body('v1', 'Secret', message([1, metadata], [2, message([1, 'k'], [2, Buffer.from([0xff, 0])])]))), { data: { k: '/wA=' } })
  t.match(decodeProtobuf(body('coordination.k8s.io/v1', 'Lease', message([1, metadata], [2, message([1, 'me'], [4, message([1, 1_767_225_600], [2, 123_456_000])])]))), { spec: { holderIdentity: 'me', renewTime: '2026-01-01T00:00:00.123456Z' } })
  const extra = message([1, 'scopes'], [2, message([1, 'a'], [1, 'b'])])
  t.match(decodeProtobuf(body('authorization.k8s.io/v1', 'SubjectAccessReview', message([2, message([3, 'jane'], [5, extra])]))), { spec: { user: 'jane', extra: { scopes: ['a', 'b'] } } })
  t.match(decodeProtobuf(body('apps/v1', 'DeleteOptions', message([1, 0], [4, 'Foreground']))), { gracePeriodSeconds: 0, propagationPolicy: 'Foreground' })
  t.end()
})

t.test('what is no protobuf, or of a kind without an encoding, is a 400', (t) => {
  const refused = (bytes: Uint8Array): boolean => {
    try {
      decodeProtobuf(bytes)
      return false
    } catch (error) {
      return error instanceof StatusError && error.code === 400
    }
  }
  t.ok(refused(Buffer.from('{}')))
  t.ok(refused(body('example.com/v1', 'Thing', message([1, metadata]))))
  t.ok(refused(body('v1', 'ConfigMap', Buffer.from([0x0a, 0x7f]))), 'cut off')
  t.ok(refused(body('v1', 'ConfigMap', message([2, message([1, '__proto__'], [2, 'x'])]))))
  assert(property(uint8Array({ maxLength: 200 }), constantFrom('Pod', 'ConfigMap', 'Secret'), (bytes, kind) => {
    const whole = body('v1', kind, Buffer.from(bytes))
    return refused(whole) || decodeProtobuf(whole)['kind'] === kind
  }))
  t.end()
})
