/**
 * Settings in a ConfigMap: a key for each, named as the flag is (docs/dns.md), or one key `Corefile`. A map that cannot be read is refused as a whole.
 */
import { parseStub } from '../forward/outside.ts'
import { readCorefile } from './corefile.ts'
import { numberOf, podModeOf, selectorOf, upstreamsOf, zoneOf } from './settings.ts'
import type { Read, ReadOptions, Settings } from './settings.ts'

/** Of what is exposed, each key says its own part. */
interface Part extends Partial<Omit<Settings, 'exposed'>> {
  readonly exposed?: Partial<Settings['exposed']>
}

type Keys = Readonly<Record<string, (text: string, options: ReadOptions) => Part>>

const keys: Keys = {
  zone: (text) => ({ zone: zoneOf(text) }),
  pods: (text) => ({ pods: podModeOf(text) }),
  ttl: (text) => ({ ttlSeconds: numberOf('ttl', text, 3600) }),
  upstream: (text, { readFile }) => ({ upstreams: words(text).flatMap((word) => upstreamsOf(word, readFile)) }),
  stub: (text) => ({ stubs: words(text).map(parseStub) }),
  autopath: (text, { base }) => ({ autopath: switchOf('autopath', text) ? (base.autopath ?? { hostDomains: [] }) : undefined }),
  'namespaces': (text) => ({ exposed: { namespaces: words(text) } }),
  'labels': (text) => ({ exposed: { labels: selectorOf(text) } }),
  'namespace-labels': (text) => ({ exposed: { namespaceLabels: selectorOf(text) } }),
  'endpoints': (text) => ({ exposed: { endpoints: switchOf('endpoints', text) } }),
  'ignore-empty-services': (text) => ({ exposed: { ignoreEmptyServices: switchOf('ignore-empty-services', text) } }),
  'endpoint-pod-names': (text) => ({ exposed: { endpointPodNames: switchOf('endpoint-pod-names', text) } }),
  'rate-limit': (text) => ({ rateLimit: numberOf('rate-limit', text, 10_000_000) }),
  'query-log': (text) => ({ queryLogEvery: numberOf('query-log', text, 10_000_000) }),
}

/** Reads the data of a ConfigMap. Throws a sentence that says what is wrong with it. */
export function readSettings(data: Readonly<Record<string, string>>, options: ReadOptions): Read {
  const { Corefile: corefile, ...own } = data
  if (corefile !== undefined) {
    if (Object.keys(own).length > 0) throw new Error(`Cannot read the configuration: beside a Corefile there can be no ${Object.keys(own).join(', ')}`)
    return readCorefile(corefile, options)
  }
  const unknown = Object.keys(own).filter((key) => !Object.hasOwn(keys, key))
  if (unknown.length > 0) throw new Error(`Cannot read the configuration: there is no key ${unknown.join(', ')}; known are ${Object.keys(keys).join(', ')}, and Corefile`)
  const parts = Object.entries(own).map(([key, text]) => keys[key]?.(text.trim(), options) ?? {})
  const exposed = Object.assign({}, options.base.exposed, ...parts.flatMap((part) => part.exposed ?? [])) as Settings['exposed']
  return { settings: { ...Object.assign({}, options.base, ...parts) as Settings, exposed }, notes: [] }
}

function switchOf(key: string, text: string): boolean {
  if (text !== 'true' && text !== 'false') throw new Error(`Cannot read the configuration: ${key} is true or false, not ${JSON.stringify(text)}`)
  return text === 'true'
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '')
}
