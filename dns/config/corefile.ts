/**
 * A Corefile as settings of this server (https://coredns.io/manual/configuration/): the plugins that people run for clusters are understood; one that would
 * change answers and has no counterpart here is refused by name; one that makes no difference here is noted.
 */
import type { StubZone } from '../forward/outside.ts'
import type { Upstream } from '../forward/upstream.ts'
import { canonical } from '../wire/index.ts'
import { everything } from '../zone/exposed.ts'
import type { Exposed } from '../zone/exposed.ts'
import { numberOf, podModeOf, selectorOf, upstreamsOf, zoneOf } from './settings.ts'
import type { Read, ReadOptions, Settings } from './settings.ts'

interface Directive {
  readonly name: string
  readonly words: readonly string[]
  readonly body: readonly Directive[]
}

/** What a server block has come to. */
interface Draft {
  readonly zones: readonly string[]
  settings: Partial<Settings>
  stubs: StubZone[]
  readonly notes: string[]
}

type Plugin = (directive: Directive, draft: Draft, options: ReadOptions) => void

const always = (why: string): Plugin => ({ name }, { notes }) => void notes.push(`${name}: ${why}`)
const byFlag = always('where to listen is said by flags')
const builtIn: Plugin = () => undefined

const plugins: Readonly<Record<string, Plugin>> = {
  kubernetes, forward, autopath,
  log: (_directive, draft) => void (draft.settings = { ...draft.settings, queryLogEvery: 1 }),
  errors: builtIn, loop: builtIn, loadbalance: builtIn, reload: builtIn, cancel: builtIn, minimal: builtIn,
  cache: always('names elsewhere are kept as their own times say, names of the cluster as long as they hold'),
  bufsize: always('UDP answers have 1232 bytes at most'),
  bind: byFlag, health: byFlag, ready: byFlag, prometheus: byFlag, tls: byFlag,
}

/** Options of the plugin kubernetes that say which objects have names. */
const exposing: Readonly<Record<string, (values: readonly string[]) => Partial<Exposed>>> = {
  namespaces: (values) => ({ namespaces: values }),
  labels: (values) => ({ labels: selectorOf(values.join(' ')) }),
  namespace_labels: (values) => ({ namespaceLabels: selectorOf(values.join(' ')) }),
  noendpoints: () => ({ endpoints: false }),
  ignore: ([what]) => (what === 'empty_service' ? { ignoreEmptyServices: true } : refuse(`ignore ${what ?? ''} is not there`)),
  endpoint_pod_names: () => ({ endpointPodNames: true }),
}

/** What may stand within a plugin without changing an answer. */
const kubernetesOptions = new Set(['endpoint', 'tls', 'kubeconfig', 'apiserver_qps', 'apiserver_burst', 'apiserver_max_inflight', 'startup_timeout', 'fallthrough'])
const forwardOptions = new Set(['max_fails', 'expire', 'policy', 'health_check', 'max_concurrent', 'prefer_udp', 'max_idle_conns', 'failfast_all_unhealthy_upstreams', 'next', 'failover'])

/** Reads it. Throws a sentence that says what is wrong, or not there. */
export function readCorefile(text: string, options: ReadOptions): Read {
  const blocks = parse(text)
  const snippets = new Map(blocks.filter(({ name }) => /^\(.+\)$/.test(name)).map(({ name, body }) => [name.slice(1, -1), body]))
  const drafts = blocks.filter(({ name }) => !name.startsWith('(')).map((block) => {
    const draft: Draft = { zones: [block.name, ...block.words].map(zoneOfKey), settings: {}, stubs: [], notes: [] }
    for (const directive of expand(block.body, snippets)) {
      const plugin = Object.hasOwn(plugins, directive.name) ? plugins[directive.name] : undefined
      if (plugin === undefined) refuse(`the plugin ${directive.name} is not there`)
      plugin(directive, draft, options)
    }
    return draft
  })
  if (drafts.length === 0) refuse('the Corefile has no server block')
  const upstreams = drafts.flatMap(({ stubs }) => stubs.filter(({ zone }) => zone === '.').flatMap((stub) => stub.upstreams))
  const stubs = drafts.flatMap((draft) => draft.stubs.filter(({ zone }) => zone !== '.'))
  const { base } = options
  const cluster: Settings = { ...base, upstreams, stubs, autopath: undefined, queryLogEvery: 0 }
  return { settings: Object.assign({}, cluster, ...drafts.map(({ settings }) => settings)) as Settings, notes: [...new Set(drafts.flatMap(({ notes }) => notes))] }
}

function kubernetes({ words, body }: Directive, draft: Draft): void {
  const zone = words.find((word) => !/arpa\.?$/.test(word)) ?? draft.zones.find((one) => one !== '.')
  if (zone === undefined) refuse('the plugin kubernetes needs a zone')
  let settings: Partial<Settings> = { zone: zoneOf(zone), ttlSeconds: 5, pods: 'disabled' }
  let exposed = everything
  for (const { name, words: values } of body) {
    const [value = ''] = values
    if (Object.hasOwn(exposing, name)) exposed = { ...exposed, ...exposing[name]?.(values) }
    else if (name === 'pods') settings = { ...settings, pods: podModeOf(value) }
    else if (name === 'ttl') settings = { ...settings, ttlSeconds: numberOf('ttl', value, 3600) }
    else if (name === 'fallthrough' && (values.length === 0 || values.some((one) => !/arpa\.?$/.test(one)))) refuse('fallthrough is there for the zones of addresses only')
    else if (!kubernetesOptions.has(name)) refuse(`kubernetes has no ${name} here`)
  }
  draft.settings = { ...draft.settings, ...settings, exposed }
}

function forward({ words: [from = '', ...to], body }: Directive, draft: Draft, { readFile }: ReadOptions): void {
  if (to.length === 0) refuse('forward needs a zone and servers')
  const serverName = body.find(({ name }) => name === 'tls_servername')?.words[0]
  for (const { name } of body) if (name !== 'tls_servername' && !forwardOptions.has(name)) refuse(`forward has no ${name} here`)
  const named = (upstream: Upstream): Upstream => (upstream.tls === undefined || serverName === undefined ? upstream : { ...upstream, tls: { ...upstream.tls, serverName } })
  const upstreams = to.flatMap((word) => upstreamsOf(word.replace(/^dns:\/\//, ''), readFile)).map(named)
  const zones = from === '.' ? draft.zones : [zoneOf(from)]
  draft.stubs.push(...zones.map((zone) => ({ zone, upstreams })))
}

/** `autopath [ZONE…] @kubernetes`, or a resolv.conf whose search domains are tried. */
function autopath({ words }: Directive, draft: Draft, { base }: ReadOptions): void {
  if (words.at(-1) !== '@kubernetes') refuse('autopath is there with @kubernetes only')
  draft.settings = { ...draft.settings, autopath: base.autopath ?? { hostDomains: [] } }
}

/** `.`, `.:53`, `cluster.local:53`, `dns://corp.example`. */
function zoneOfKey(key: string): string {
  const [, scheme = 'dns', zone = ''] = /^(?:([a-z]+):\/\/)?([^:]*)(?::\d+)?$/.exec(key.replace(/,$/, '')) ?? []
  if (scheme !== 'dns') refuse(`a block for ${scheme} is not there; --tls-listen and --https-listen are`)
  return zone === '' || zone === '.' ? '.' : canonical(zoneOf(zone))
}

function* expand(body: readonly Directive[], snippets: ReadonlyMap<string, readonly Directive[]>): Generator<Directive> {
  for (const directive of body) {
    if (directive.name !== 'import') {
      yield directive
      continue
    }
    const snippet = snippets.get(directive.words[0] ?? '')
    if (snippet === undefined) refuse(`there is no snippet ${directive.words[0] ?? ''}, and files are not imported`)
    for (const inner of snippet) if (inner.name === 'import') refuse('a snippet cannot import another')
    yield* snippet
  }
}

/** Lines of words, with blocks in braces; `#` begins a comment, and quotes hold words together. */
function parse(text: string): Directive[] {
  const lines = text.split('\n').map((line) => [...line.matchAll(/"((?:[^"\\]|\\.)*)"|(#.*)|(\S+)/g)].flatMap(([, quoted, comment, word]) => (comment === undefined ? [quoted ?? word ?? ''] : []))).filter((words) => words.length > 0)
  let at = 0
  const block = (depth: number): Directive[] => {
    const directives: Directive[] = []
    for (let words = lines[at]; words !== undefined; words = lines[at]) {
      at += 1
      if (words[0] === '}') {
        if (depth === 0 || words.length > 1) refuse('a brace stands where none is expected')
        return directives
      }
      const opens = words.at(-1) === '{'
      const [name = '', ...more] = opens ? words.slice(0, -1) : words
      if (depth === 0 && !opens) refuse(`${name} stands outside of a block`)
      if (depth > 2) refuse('blocks are too deep')
      directives.push({ name, words: more, body: opens ? block(depth + 1) : [] })
    }
    if (depth > 0) refuse('a block is not closed')
    return directives
  }
  return block(0)
}

function refuse(why: string): never {
  throw new Error(`Cannot read the configuration: ${why}`)
}
