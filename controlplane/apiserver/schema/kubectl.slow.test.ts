// What kubectl 1.35 makes of the documents.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { kubectlPath, run } from '../../../test/support/cluster.ts'
import { apiVersionOf } from '../object.ts'
import { builtinResources } from '../resources/index.ts'
import { startTestServer } from '../test-support/server.ts'
import { definition, definitionName } from './definitions.ts'

t.test('kubectl explains every kind, and knows which fields there are not', async (t) => {
  const { server } = await startTestServer(t)
  const home = t.testdir()
  writeFileSync(join(home, 'config'), server.adminKubeconfig())
  const kubectl = (args: string[], input = ''): ReturnType<typeof run> => run(kubectlPath(), args, { input, timeoutMs: 20_000, env: { HOME: home, KUBECONFIG: join(home, 'config') } })
  for (const row of builtinResources()) {
    if (row.virtual === true) continue
    const { code, stdout, stderr } = await kubectl(['explain', row.plural, '--recursive', `--api-version=${apiVersionOf(row)}`])
    t.equal(code, 0, stderr)
    t.match(stdout, new RegExp(`KIND: +${row.kind}\nVERSION: +${row.version}\n`))
    t.match(stdout, /metadata\t<ObjectMeta>/, row.plural)
    // Two levels of the fields that the server itself knows.
    for (const [field, { type }] of definition(definitionName(row) ?? '')) {
      t.match(stdout, new RegExp(`^  ${field}\t<`, 'm'), `${row.plural}.${field}`)
      if (type.of === 'object' && field !== 'metadata') for (const [below] of definition(type.name)) t.match(stdout, new RegExp(`^    ${below.replace('$', '\\$')}\t<`, 'm'), `${row.plural}.${field}.${below}`)
    }
  }
  t.match((await kubectl(['explain', 'pod.spec.containers.resources.limits'])).stdout, /FIELD: limits <map\[string\]Quantity>/)
  t.match((await kubectl(['explain', 'pod.spec.containers.livenessProbe.httpGet.port'])).stdout, /FIELD: port <IntOrString>/)
  t.match((await kubectl(['explain', 'deployment.spec.nothing'])).stderr, /field "nothing" does not exist/)
  t.match((await kubectl(['apply', '-f', '-'], 'apiVersion: v1\nkind: Unheard\nmetadata: {name: x}\n')).stderr, /no matches for kind "Unheard"/)
  t.match((await kubectl(['apply', '-f', '-'], 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndatta: {a: b}\n')).stderr, /strict decoding error: unknown field "datta"/)
})
