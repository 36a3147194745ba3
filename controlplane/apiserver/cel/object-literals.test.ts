import t from 'tap'
import { withMaps } from './object-literals.ts'

t.test('typed objects become maps, and nothing else changes', (t) => {
  const cases: [given: string, wanted: string][] = [
    ['Object{spec: Object.spec{replicas: object.spec.replicas + 1}}', '{"spec": {"replicas": object.spec.replicas + 1}}'],
    ['[JSONPatch{op: "add", path: "/spec/a", value: {"b": [1, 2]}}, JSONPatch{op: "test", path: "a:b"}]', '[{"op": "add", "path": "/spec/a", "value": {"b": [1, 2]}}, {"op": "test", "path": "a:b"}]'],
    ['Object{spec: Object.spec{containers: object.spec.containers.map(c, Object.spec.containers{name: c.name, tty: c.a ? true : false})}}', '{"spec": {"containers": object.spec.containers.map(c, {"name": c.name, "tty": c.a ? true : false})}}'],
    ['Object{metadata: Object.metadata{labels: {"a": "Object{x: 1}"}}} // Object{y: 2}', '{"metadata": {"labels": {"a": "Object{x: 1}"}}} // Object{y: 2}'],
    ['Object{`odd-name`: 1, ?maybe: optional.none()}', '{"odd-name": 1, ?"maybe": optional.none()}'],
    ['Objects.x == {"a": b}', 'Objects.x == {"a": b}'],
    ['Object{}', '{}'],
  ]
  for (const [given, wanted] of cases) t.equal(withMaps(given), wanted)
  t.end()
})
