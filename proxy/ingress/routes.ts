/** Ingresses to routes: which service answers a request for a host and a path. Pure. */
import type { KubeObject } from '../../api/types.ts'

export interface IngressBackend {
  service?: { name: string; port?: { number?: number; name?: string } }
}

/** networking.k8s.io/v1, as far as it is served. */
export interface Ingress extends KubeObject {
  spec?: {
    ingressClassName?: string
    defaultBackend?: IngressBackend
    tls?: { hosts?: string[]; secretName?: string }[]
    rules?: { host?: string; http?: { paths?: { path?: string; pathType?: 'Exact' | 'Prefix' | 'ImplementationSpecific'; backend: IngressBackend }[] } }[]
  }
  status?: { loadBalancer?: { ingress?: { ip?: string; hostname?: string }[] } }
}

export interface Backend {
  readonly namespace: string
  readonly service: string
  /** A service port's number or name. */
  readonly port: number | string
}

interface Route {
  readonly exact: boolean
  readonly path: string
  readonly backend: Backend
}

export interface Routes {
  /** By host: `shop.example`, `*.example`, or empty for any; the route that counts first stands first. */
  readonly hosts: ReadonlyMap<string, readonly Route[]>
  readonly defaultBackend: Backend | undefined
  /** Secrets with certificates, as `namespace/name`, by host; empty for any. */
  readonly certificates: ReadonlyMap<string, string>
}

/** Whose class asks for this controller; without any class all do. */
const ingressClass = 'fairway'

export function isOurs({ spec, metadata }: Ingress): boolean {
  const named = spec?.ingressClassName ?? metadata.annotations?.['kubernetes.io/ingress.class']
  return named === undefined || named === ingressClass
}

/** The routes of all ingresses. Of two that say different things of one host and path the older counts. */
export function routesOf(all: readonly Ingress[]): Routes {
  const hosts = new Map<string, Route[]>()
  const certificates = new Map<string, string>()
  let defaultBackend: Backend | undefined
  const age = ({ metadata }: Ingress): string => `${metadata.creationTimestamp ?? ''} ${metadata.namespace ?? ''}/${metadata.name ?? ''}`
  for (const { metadata: { namespace = 'default' }, spec } of all.filter(isOurs).toSorted((a, b) => (age(a) < age(b) ? -1 : 1))) {
    defaultBackend ??= backendOf(namespace, spec?.defaultBackend)
    for (const { hosts: names = [''], secretName } of spec?.tls ?? []) {
      if (secretName === undefined) continue
      for (const name of names) if (!certificates.has(name.toLowerCase())) certificates.set(name.toLowerCase(), `${namespace}/${secretName}`)
    }
    for (const { host = '', http } of spec?.rules ?? []) {
      const routes = hosts.get(host.toLowerCase()) ?? []
      hosts.set(host.toLowerCase(), routes)
      for (const { path = '/', pathType = 'Prefix', backend } of http?.paths ?? []) {
        const to = backendOf(namespace, backend)
        const exact = pathType === 'Exact'
        if (to !== undefined && !routes.some((route) => route.exact === exact && route.path === path)) routes.push({ exact, path, backend: to })
      }
    }
  }
  // An exact path goes before a prefix, a longer one before a shorter one.
  for (const routes of hosts.values()) routes.sort((a, b) => Number(b.exact) - Number(a.exact) || b.path.length - a.path.length)
  return { hosts, defaultBackend, certificates }
}

function backendOf(namespace: string, backend: IngressBackend | undefined): Backend | undefined {
  const { name, port } = backend?.service ?? {}
  const wanted = port?.number ?? port?.name
  return name === undefined || wanted === undefined ? undefined : { namespace, service: name, port: wanted }
}

/** Who answers: by the host's own rules, then those of its wildcard, then those for any host, then the default. */
export function route({ hosts, defaultBackend }: Routes, hostHeader: string | undefined, url: string): Backend | undefined {
  const path = url.split(/[?#]/)[0] ?? '/'
  for (const name of namesOf((hostHeader ?? '').replace(/:\d+$/, ''))) {
    const found = hosts.get(name)?.find((candidate) => (candidate.exact ? path === candidate.path : isPrefix(candidate.path, path)))
    if (found !== undefined) return found.backend
  }
  return defaultBackend
}

/** `a.example` is asked for as itself, `*.example` and any; a wildcard stands for one label. */
export function namesOf(host: string): string[] {
  const name = host.toLowerCase()
  const dot = name.indexOf('.')
  return [name, ...(dot > 0 ? [`*${name.slice(dot)}`] : []), ...(name === '' ? [] : [''])]
}

/** By whole elements: `/foo` is a prefix of `/foo` and `/foo/bar`, not of `/foobar`. */
function isPrefix(prefix: string, path: string): boolean {
  const trimmed = prefix.replace(/\/+$/, '')
  return path === trimmed || path.startsWith(`${trimmed}/`)
}
