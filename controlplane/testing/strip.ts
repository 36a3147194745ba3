/**
 * What `npm pack` puts into the package: the sources of the API server without their types, in `dist/`, as Node reads them below node_modules too.
 * Run by it (`prepack`), and taken away again afterwards.
 */
import { copyFileSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { dirname, join } from 'node:path'

const root = new URL('../..', import.meta.url).pathname
const dist = join(root, 'dist')
/** Of a relative import. */
const ending = /(?<=(['"])\.{1,2}\/[^'"\n]+)\.ts(?=\1)/g

rmSync(dist, { recursive: true, force: true })
const sources = globSync(['api/**/*.{ts,json}', 'controlplane/**/*.{ts,json}'], { cwd: root }).filter((file) => !/\.test\.ts$|\.d\.ts$|\/test-support\/|\/(?:generate|strip)\.ts$/.test(file))
for (const file of sources) {
  const target = join(dist, file.replace(/\.ts$/, '.js'))
  mkdirSync(dirname(target), { recursive: true })
  if (file.endsWith('.json')) copyFileSync(join(root, file), target)
  else writeFileSync(target, stripTypeScriptTypes(readFileSync(join(root, file), 'utf8')).replace(ending, '.js'))
}
