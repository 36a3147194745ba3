/** Rules about the code that a machine can hold: who imports whom, what may stand at the top, which words and programs are banned. */
import { existsSync, globSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import t from 'tap'

const root = new URL('..', import.meta.url).pathname

/** What each folder may import beside itself and npm packages (docs/architecture.md draws it). */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  api: [],
  netlink: [],
  cni: ['netlink', 'api'],
  proxy: ['netlink', 'api'],
  dns: ['netlink', 'api'],
  controlplane: ['api'],
  kubelet: ['api'],
  cli: ['api', 'netlink', 'cni', 'proxy', 'dns', 'controlplane', 'kubelet'],
  bench: ['api', 'netlink', 'cni', 'proxy', 'dns', 'controlplane', 'kubelet', 'cli', 'test'],
  test: ['api', 'netlink', 'cni', 'proxy', 'dns', 'controlplane', 'kubelet', 'cli', 'bench'],
}

const atTheTop = new Set([
  ...Object.keys(mayImport), 'docs', 'examples', 'package.json', 'package-lock.json', 'tsconfig.json', 'knip.json', 'fairway',
  'README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'LICENSE', '.ci', '.git', '.gitignore', '.npmrc', '.oxlintrc.json', '.taprc',
])
const madeByTools = new Set(['node_modules', '.tap', '.fairway'])

const sources = globSync(Object.keys(mayImport).map((folder) => `${folder}/**/*.ts`), { cwd: root }).sort()
const product = sources.filter((file) => !/\.test\.ts$|test-support\/|^(test|bench)\//.test(file))
const read = (file: string): string => readFileSync(join(root, file), 'utf8')

function importsOf(file: string): string[] {
  const found = read(file).matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)
  return [...found].map((match) => normalize(join(dirname(file), match[1]!)))
}

t.test('folders import only in the direction that the architecture draws', (t) => {
  const wrong: string[] = []
  for (const file of sources) {
    const folder = file.split('/')[0]!
    const isTest = !product.includes(file)
    for (const target of importsOf(file)) {
      const to = target.split('/')[0]!
      const allowed = to === folder || mayImport[folder]!.includes(to) || (isTest && to in mayImport)
      if (!allowed) wrong.push(`${file} imports ${target}`)
    }
  }
  t.same(wrong, [])
  t.end()
})

t.test('product code imports no tests and no test support', (t) => {
  const wrong = product.flatMap((file) =>
    importsOf(file).filter((target) => /\.test\.ts$|test-support\//.test(target)).map((target) => `${file} imports ${target}`))
  t.same(wrong, [])
  t.end()
})

t.test('every relative import names an existing file with its ending', (t) => {
  const wrong = sources.flatMap((file) =>
    importsOf(file).filter((target) => !existsSync(join(root, target))).map((target) => `${file} imports ${target}`))
  t.same(wrong, [])
  t.end()
})

t.test('only package files, the documents and the named folders stand at the top', (t) => {
  t.same(readdirSync(root).filter((name) => !atTheTop.has(name) && !madeByTools.has(name)), [])
  t.end()
})

t.test('no product code runs ip, nft, iptables, conntrack, tc or bridge', (t) => {
  const runs = /(?:exec|execFile|execFileSync|execSync|spawn|spawnSync)\(\s*['"`](?:\S*\/)?(?:ip6?|nft|ip6?tables|conntrack|tc|bridge)\b['"` ]/
  t.same(product.filter((file) => runs.test(read(file))), [])
  t.end()
})

t.test('koffi is imported by one file only', (t) => {
  t.same(product.filter((file) => /from 'koffi'/.test(read(file))), ['netlink/ffi.ts'])
  t.end()
})

t.test('no file or folder is named for what it is not', (t) => {
  const banned = /(^|\/|-)(utils?|helpers?|manager|impl|common|misc)(\.|\/|-|$)/i
  // controller-manager is the name that Kubernetes gave a program
  t.same(sources.filter((file) => banned.test(file.replace('controller-manager', ''))), [])
  t.end()
})

t.test('file names are lower case with hyphens', (t) => {
  t.same(sources.filter((file) => !/^[a-z0-9./-]+$/.test(file)), [])
  t.end()
})

t.test('no source types any, ignores the compiler or leaves work for later', (t) => {
  const marks = /@ts-ignore|@ts-nocheck|\bas any\b|: any\b|\b(?:TODO|FIXME|XXX)\b/
  t.same(sources.filter((file) => !['test/tidy.test.ts', 'test/support/steps.ts'].includes(file) && marks.test(read(file))), [])
  t.end()
})

t.test('no error is swallowed by an empty catch', (t) => {
  const empty = /catch\s*(?:\([^)]*\))?\s*\{\s*\}|\.catch\(\(\)\s*=>\s*(?:\{\s*\}|undefined|null)\)/
  t.same(product.filter((file) => empty.test(read(file))), [])
  t.end()
})

t.test('the logic of every part reads no clock and no random source of its own', (t) => {
  const direct = /\bDate\.now\(|\bnew Date\(\)|Math\.random\(/
  const pure = product.filter((file) => /(^|\/)(plan|want|model|schedule)\.ts$/.test(file))
  t.same(pure.filter((file) => direct.test(read(file))), [])
  t.end()
})

t.test('plans import types and pure code only', (t) => {
  const impure = /from 'node:(?!net')|from '[^']*(?:ffi|socket|client|apply)\.ts'/
  const imports = (file: string): string[] => read(file).split('\n').filter((line) => /^import (?!type)/.test(line))
  t.same(product.filter((file) => /(^|\/)plan\.ts$/.test(file) && imports(file).some((line) => impure.test(line))), [])
  t.end()
})

t.test('every folder is introduced by its README', (t) => {
  const folders = [...Object.keys(mayImport), 'controlplane/apiserver', 'controlplane/store', 'controlplane/scheduler', 'controlplane/controllers', 'examples']
  t.same(folders.filter((folder) => !existsSync(join(root, folder, 'README.md'))), [])
  t.end()
})

t.test('every command that the README shows exists', (t) => {
  const commands = read('README.md').matchAll(/^\s*(?:\$ )?\.?\/?fairway ([a-z-]+)(?: ([a-z]+))?/gm)
  const known = read('cli/main.ts') + globSync('cli/**/*.ts', { cwd: root }).map(read).join('\n')
  const missing = [...commands].map((match) => match[1]!).filter((name) => !new RegExp(`['"\`]${name}[ '"\`]`).test(known))
  t.same([...new Set(missing)], [])
  t.end()
})

t.test('links between the documents lead somewhere', (t) => {
  const documents = globSync(['*.md', 'docs/**/*.md', ...Object.keys(mayImport).map((folder) => `${folder}/**/*.md`)], { cwd: root, exclude: (name) => name.includes('node_modules') })
  const broken: string[] = []
  for (const document of documents) {
    for (const match of read(document).matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)) {
      if (!existsSync(join(root, dirname(document), match[1]!))) broken.push(`${document}: ${match[1]}`)
    }
  }
  t.same(broken, [])
  t.end()
})

t.test('nothing committed names a path of the machine that made it', (t) => {
  const marks = /\/work\/(?:main|shared)|\/root\/\.|\/tmp\/[a-z]+\.md/
  t.same(sources.filter((file) => file !== 'test/tidy.test.ts' && marks.test(read(file))), [])
  t.end()
})
