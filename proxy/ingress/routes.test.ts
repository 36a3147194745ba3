import t from 'tap'
import { route, routesOf } from './routes.ts'
import type { Ingress } from './routes.ts'

type Path = readonly [path: string, type: 'Exact' | 'Prefix', service: string]

function ingress(name: string, rules: Readonly<Record<string, readonly Path[]>>, more: Partial<NonNullable<Ingress['spec']>> = {}): Ingress {
  return {
    metadata: { name, namespace: 'default', creationTimestamp: `2026-01-0${name.length}T00:00:00Z` },
    spec: { ...more, rules: Object.entries(rules).map(([host, paths]) => ({ ...(host === '' ? {} : { host }), http: { paths: paths.map(([path, pathType, service]) => ({ path, pathType, backend: { service: { name: service, port: { number: 80 } } } })) } })) },
  }
}

const routes = routesOf([
  ingress('a', { 'shop.example': [['/foo', 'Prefix', 'prefix'], ['/foo', 'Exact', 'exact'], ['/foo/bar/', 'Prefix', 'longer']], '*.wild.example': [['/', 'Prefix', 'wild']], '': [['/any', 'Prefix', 'any']] }),
  ingress('bb', { 'shop.example': [['/foo', 'Exact', 'younger'], ['/more', 'Exact', 'more']] }, { defaultBackend: { service: { name: 'default', port: { name: 'http' } } } }),
  ingress('ccc', { 'other.example': [['/', 'Prefix', 'theirs']] }, { ingressClassName: 'nginx' }),
])

t.test('hosts and paths find their service', async (t) => {
  const cases: readonly (readonly [host: string, url: string, service: string, why: string])[] = [
    ['shop.example', '/foo', 'exact', 'an exact path goes before a prefix'],
    ['shop.example', '/foo/', 'prefix', 'an exact path is exact'],
    ['shop.example', '/foo?x=/foo/bar', 'exact', 'a query is no path'],
    ['shop.example', '/foo/bar', 'longer', 'the longer prefix, whose last slash does not matter'],
    ['shop.example', '/foobar', 'default', 'prefixes are whole elements'],
    ['SHOP.example:8080', '/more', 'more', 'hosts have no case, and may have a port'],
    ['a.wild.example', '/x', 'wild', 'a wildcard'],
    ['a.b.wild.example', '/x', 'default', 'a wildcard is one label'],
    ['wild.example', '/x', 'default', 'a wildcard is not none'],
    ['shop.example', '/any/thing', 'any', 'rules without a host'],
    ['other.example', '/', 'default', 'of another class'],
  ]
  for (const [host, url, service, why] of cases) t.equal(route(routes, host, url)?.service, service, why)
  t.equal(route(routesOf([]), 'shop.example', '/'), undefined)
})
