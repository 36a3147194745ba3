/** Settings in a ConfigMap, by keys and by a Corefile; and the server that takes them while it answers. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { systemClock } from '../../api/clock.ts'
import type { Clock } from '../../api/clock.ts'
import { createLogger, silentLogger } from '../../api/log.ts'
import type { ConfigMap } from '../../api/types.ts'
import { Serving } from '../serving.ts'
import { FakeApi } from '../test-support/fake-api.ts'
import { plainUpstream } from '../test-support/plain-upstream.ts'
import { data, namespace, start, web } from '../test-support/started.ts'
import { everything } from '../zone/exposed.ts'
import { readSettings } from './config-map.ts'
import type { Read, Settings } from './settings.ts'

const base: Settings = { zone: 'cluster.local.', pods: 'verified', ttlSeconds: 5, upstreams: [], stubs: [], exposed: everything, autopath: undefined, rateLimit: 0, queryLogEvery: 0 }
const readFile = (path: string): string => {
  if (path === '/etc/resolv.conf') return 'nameserver 192.0.2.53\nnameserver 192.0.2.54\n'
  throw new Error(`Cannot read ${path}`)
}
const read = (map: Record<string, string>): Read => readSettings(map, { base, readFile })

/** Settings as the flags that say the same. */
function flags({ zone, pods, ttlSeconds, upstreams, stubs, exposed, autopath, rateLimit, queryLogEvery }: Settings): string {
  const server = ({ address, port, tls, https }: Settings['upstreams'][number]): string => {
    const usual = https === undefined ? (tls === undefined ? 53 : 853) : 443
    const scheme = https === undefined ? (tls === undefined ? '' : 'tls://') : 'https://'
    return `${scheme}${address}${port === usual ? '' : `:${port}`}${https?.path === undefined || https.path === '/dns-query' ? '' : https.path}${tls === undefined || tls.serverName === address ? '' : `#${tls.serverName}`}`
  }
  return [
    zone === 'cluster.local.' ? '' : `--zone ${zone.slice(0, -1)}`, `--pods ${pods}`, ttlSeconds === 5 ? '' : `--ttl ${ttlSeconds}`, ...upstreams.map((one) => `--upstream ${server(one)}`),
    ...stubs.map((stub) => `--stub ${stub.zone.slice(0, -1)}=${stub.upstreams.map(server).join(',')}`), autopath === undefined ? '' : '--autopath',
    exposed.namespaces.length === 0 ? '' : `--namespaces ${exposed.namespaces.join(',')}`, exposed.labels === '' ? '' : `--labels '${exposed.labels}'`, exposed.namespaceLabels === '' ? '' : `--namespace-labels '${exposed.namespaceLabels}'`,
    exposed.endpoints ? '' : '--no-endpoints', exposed.ignoreEmptyServices ? '--ignore-empty-services' : '', exposed.endpointPodNames ? '--endpoint-pod-names' : '',
    rateLimit === 0 ? '' : `--rate-limit ${rateLimit}`, queryLogEvery === 0 ? '' : `--query-log ${queryLogEvery}`,
  ].filter((flag) => flag !== '').join(' ')
}

t.test('keys are named as the flags, and those that are left out are as the flags say', (t) => {
  t.same(read({}).settings, base)
  t.equal(flags(read({ 'zone': 'k8s.example', 'pods': 'insecure', 'ttl': '30', 'upstream': '192.0.2.1\ntls://192.0.2.2#dns.example', 'stub': 'corp.example=10.0.0.1,10.0.0.2:5353\nlab.example=10.0.0.3', 'autopath': 'true', 'rate-limit': '1000', 'query-log': '10\n', 'namespaces': 'a b', 'labels': 'app=web,tier in (x, y)', 'namespace-labels': '!hidden', 'endpoints': 'false', 'ignore-empty-services': 'true', 'endpoint-pod-names': 'true' }).settings),
    "--zone k8s.example --pods insecure --ttl 30 --upstream 192.0.2.1 --upstream tls://192.0.2.2#dns.example --stub corp.example=10.0.0.1,10.0.0.2:5353 --stub lab.example=10.0.0.3 --autopath --namespaces a,b --labels 'app=web,tier in (x, y)' --namespace-labels '!hidden' --no-endpoints --ignore-empty-services --endpoint-pod-names --rate-limit 1000 --query-log 10")
  t.equal(flags(read({ upstream: '/etc/resolv.conf' }).settings), '--pods verified --upstream 192.0.2.53 --upstream 192.0.2.54')
  t.end()
})

t.test('what cannot be used is refused, with what is wrong', (t) => {
  for (const [map, why] of [
    [{ tll: '5' }, /there is no key tll; known are zone, pods, ttl/], [{ ttl: '-1' }, /ttl must be a whole number up to 3600, not "-1"/], [{ ttl: '4000' }, /up to 3600/], [{ pods: 'all' }, /pods are disabled, insecure, verified/],
    [{ zone: 'a b' }, /is no zone/], [{ upstream: 'dns.example' }, /Cannot use name server "dns.example"/], [{ upstream: '/nowhere' }, /Cannot read \/nowhere/], [{ stub: 'x' }, /Cannot use stub zone/], [{ autopath: 'yes' }, /true or false/],
    [{ Corefile: '. {\n}\n', ttl: '5' }, /beside a Corefile there can be no ttl/], [{ constructor: 'x' }, /there is no key constructor/], [{ labels: 'a b' }, /is no label selector/], [{ 'namespace-labels': 'app in a' }, /is no label selector/], [{ endpoints: 'none' }, /true or false/], [{ labels: `a in (${'a,'.repeat(60)} $` }, /is no label selector/],
  ] as const) t.throws(() => read(map), why, JSON.stringify(map))
  for (const [corefile, why] of [
    ['', /no server block/], ['. {\n errors\n', /a block is not closed/], ['errors\n', /stands outside of a block/], ['}\n', /a brace stands where none is expected/], ['. {\n hosts {\n  10.0.0.1 a\n }\n}', /the plugin hosts is not there/],
    ['. {\n constructor\n}', /the plugin constructor is not there/], ['. {\n kubernetes cluster.local {\n  upstream\n }\n}', /kubernetes has no upstream here/], ['. {\n kubernetes cluster.local {\n  fallthrough\n }\n}', /zones of addresses only/], ['. {\n kubernetes cluster.local {\n  ignore all\n }\n}', /ignore all is not there/], ['. {\n kubernetes cluster.local {\n  pods some\n }\n}', /pods are/],
    ['. {\n forward .\n}', /forward needs a zone and servers/], ['. {\n forward . 10.0.0.1 {\n  except a.test\n }\n}', /forward has no except here/], ['. {\n import *.conf\n}', /there is no snippet \*\.conf/], ['. {\n autopath /etc/resolv.conf\n}', /with @kubernetes only/],
    ['tls://. {\n errors\n}', /--tls-listen/], ['. {\n kubernetes\n}', /kubernetes needs a zone/], ['(a) {\n import a\n}\n. {\n import a\n}', /cannot import another/],
  ] as const) t.throws(() => read({ Corefile: corefile }), why, corefile)
  t.end()
})

t.test('Corefiles mean what the documentation says', (t) => {
  const rows = [...readFileSync(new URL('../../docs/dns.md', import.meta.url), 'utf8').matchAll(/^\| `([^`]+)` \| (?:`([^`]*)`)?([^|]*)\|$/gm)].filter(([, corefile = '']) => corefile.includes('{'))
  t.ok(rows.length >= 12, `${rows.length} rows`)
  for (const [, corefile = '', wanted = '', note = ''] of rows) {
    const text = corefile.replaceAll('⏎', '\n')
    if (/refused/.test(note)) t.throws(() => read({ Corefile: text }), /Cannot/, corefile)
    else t.equal(flags(read({ Corefile: text }).settings), wanted, corefile)
  }
  t.end()
})

const map = (parts: Record<string, string>): ConfigMap => ({ metadata: { name: 'fairway-dns', namespace: 'kube-system' }, data: parts })

t.test('the server follows its ConfigMap, refuses a broken one, and loses no question over it', async (t) => {
  const upstream = await plainUpstream(t, { delayMs: 20 })
  const lines: string[] = []
  const api = new FakeApi()
  api.put('configmaps', map({ ttl: '30' }))
  const { server, ask } = await start(t, { services: [web], namespaces: [namespace('default')] }, { configMap: 'kube-system/fairway-dns', log: createLogger({ write: (line) => void lines.push(line) }) }, api)
  await server.ready
  const ttl = async (): Promise<number | undefined> => (await ask('web.default.svc.cluster.local')).answers?.[0]?.ttl
  const until = async (what: string, condition: () => boolean | Promise<boolean>): Promise<void> => {
    for (let tries = 0; tries < 200; tries += 1) {
      if (await condition()) return
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    t.fail(what)
  }
  t.equal(await ttl(), 30, 'what it says comes before the flags, from the first answer on')
  const answered: Promise<unknown>[] = []
  const asking = setInterval(() => answered.push(ask('web.default.svc.cluster.local').then((answer) => t.same([answer.rcode, data(answer)], ['NOERROR', ['10.96.0.7']]))), 2)
  api.put('configmaps', map({ ttl: '7', upstream: `127.0.0.1:${upstream}` }))
  await until('the new TTL', async () => (await ttl()) === 7)
  const elsewhere = Array.from({ length: 20 }, (_, n) => ask(`n${n}.example`))
  api.put('configmaps', map({ ttl: 'soon' }))
  await until('the refusal', () => lines.some((line) => line.includes('the configuration is refused') && line.includes('ttl must be a whole number')))
  t.equal(await ttl(), 7, 'what held before holds on')
  api.put('configmaps', map({ Corefile: '.:53 {\n kubernetes cluster.local {\n  ttl 11\n }\n}\n' }))
  await until('the Corefile', async () => (await ttl()) === 11)
  t.same((await Promise.all(elsewhere)).map((answer) => data(answer)[0]), Array.from({ length: 20 }, () => '192.0.2.1'), 'those under way elsewhere come back')
  t.equal((await ask('n.example')).rcode, 'REFUSED', 'and the servers elsewhere are none now')
  api.remove('configmaps', map({}))
  await until('the flags', async () => (await ttl()) === 5)
  clearInterval(asking)
  await Promise.all(answered)
  t.ok(answered.length > 10, `${answered.length} questions meanwhile`)
})

t.test('settings that come faster than they can be taken leave nothing running', async (t) => {
  const ticking = new Set<object>()
  const clock: Clock = Object.assign(Object.create(systemClock) as Clock, {
    setTimeout: (...[then, ms]: Parameters<Clock['setTimeout']>) => {
      const timer = systemClock.setTimeout(() => {
        ticking.delete(timer)
        then()
      }, ms)
      if (ms === 1000) ticking.add(timer)
      const cancel = (): void => {
        ticking.delete(timer)
        timer.cancel()
      }
      return { cancel }
    },
  })
  const serving = new Serving({ client: new FakeApi().client, serverAddresses: [], clock, random: Math.random, randomInt: () => 0, log: silentLogger }, base)
  await serving.names.start()
  void serving.change({ ...base, ttlSeconds: 6 })
  void serving.change({ ...base, ttlSeconds: 7 })
  await serving.change({ ...base, ttlSeconds: 8 })
  await serving.stop()
  t.equal(ticking.size, 0, 'no clock ticks for names that never answered')
})

t.test('without an API server to say what the ConfigMap holds there are answers all the same', async (t) => {
  const api = new FakeApi()
  api.reachable = new Promise(() => undefined)
  const { ask } = await start(t, {}, { configMap: 'kube-system/fairway-dns' }, api)
  t.equal((await ask('web.default.svc.cluster.local')).rcode, 'SERVFAIL')
  await t.rejects(start(t, {}, { configMap: 'fairway-dns' }, api), /write it as NAMESPACE\/NAME/)
})
