import * as fc from 'fast-check'
import t from 'tap'
import { decodeResult, encodeResult } from './result.ts'
import type { Result } from './result.ts'
import { runPlugin } from './run.ts'
import type { Plugin } from './run.ts'

const result: Result = {
  interfaces: [{ name: 'fw1', mac: '02:00:00:00:00:01', mtu: 1400 }, { name: 'eth0', mac: '02:00:00:00:00:02', mtu: 1400, sandbox: '/run/netns/a' }],
  ips: [{ address: '10.244.0.5/32', gateway: '169.254.1.1', interface: 1 }, { address: 'fd00::5/128', gateway: 'fe80::1', interface: 1 }],
  routes: [{ dst: '0.0.0.0/0', gw: '169.254.1.1', mtu: 1300 }],
  dns: { nameservers: ['10.96.0.10'] },
}

const plugin: Plugin = {
  add: () => Promise.resolve(result),
  del: () => Promise.resolve(),
  check: () => Promise.resolve(),
  gc: () => Promise.resolve(),
  status: () => Promise.reject(Object.assign(new Error('Cannot write journal: ENOSPC'), { code: 'ENOSPC' })),
}

const good = { CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'abc', CNI_NETNS: '/run/netns/a', CNI_IFNAME: 'eth0' }
const config = { cniVersion: '1.1.0', name: 'net', type: 'fairway' }

async function run(environment: Record<string, string>, input: unknown): Promise<{ status: number; object: Record<string, unknown> }> {
  const { status, output } = await runPlugin(plugin, { environment, input: typeof input === 'string' ? input : JSON.stringify(input) })
  return { status, object: (output === '' ? {} : JSON.parse(output)) as Record<string, unknown> }
}

const refused: readonly { why: string; environment?: Record<string, string>; input?: unknown; code: number; msg: RegExp }[] = [
  { why: 'no command', environment: { CNI_COMMAND: '' }, code: 4, msg: /CNI_COMMAND is missing/ },
  { why: 'an unknown command', environment: { CNI_COMMAND: 'add' }, code: 4, msg: /"add", not one of ADD/ },
  { why: 'no container id', environment: { CNI_CONTAINERID: '' }, code: 4, msg: /CNI_CONTAINERID is missing/ },
  { why: 'a container id that is a path', environment: { CNI_CONTAINERID: '../../etc' }, code: 4, msg: /CNI_CONTAINERID/ },
  { why: 'a container id that begins with a dash', environment: { CNI_CONTAINERID: '-rf' }, code: 4, msg: /CNI_CONTAINERID/ },
  { why: 'a container id with a line break', environment: { CNI_CONTAINERID: 'a\nb' }, code: 4, msg: /CNI_CONTAINERID/ },
  { why: 'no namespace', environment: { CNI_NETNS: '' }, code: 4, msg: /CNI_NETNS is missing/ },
  { why: 'a relative namespace', environment: { CNI_NETNS: 'netns/a' }, code: 4, msg: /not an absolute path/ },
  { why: 'no link name', environment: { CNI_IFNAME: '' }, code: 4, msg: /CNI_IFNAME is missing/ },
  { why: 'a link name that is too long', environment: { CNI_IFNAME: 'sixteen-letters!' }, code: 4, msg: /CNI_IFNAME/ },
  { why: 'a link name that is a path', environment: { CNI_IFNAME: 'a/b' }, code: 4, msg: /CNI_IFNAME/ },
  { why: 'a link name that is a folder', environment: { CNI_IFNAME: '..' }, code: 4, msg: /CNI_IFNAME/ },
  { why: 'the loopback', environment: { CNI_IFNAME: 'lo' }, code: 4, msg: /every namespace has/ },
  { why: 'arguments without a value', environment: { CNI_ARGS: 'IP' }, code: 4, msg: /not NAME=VALUE/ },
  { why: 'unknown arguments', environment: { CNI_ARGS: 'COLOUR=blue' }, code: 4, msg: /COLOUR/ },
  { why: 'no configuration', input: '', code: 6, msg: /Cannot read configuration/ },
  { why: 'a configuration that is cut off', input: '{"cniVersion": "1.1.0", ', code: 6, msg: /Cannot read configuration/ },
  { why: 'a configuration that is a list', input: [], code: 6, msg: /not a JSON object/ },
  { why: 'no version', input: { name: 'net' }, code: 1, msg: /version 0\.1\.0: supported are/ },
  { why: 'a version of the future', input: { ...config, cniVersion: '2.0.0' }, code: 1, msg: /version 2\.0\.0/ },
  { why: 'no name', input: { ...config, name: undefined }, code: 7, msg: /name is missing/ },
  { why: 'a name that is a path', input: { ...config, name: '../up' }, code: 7, msg: /name "\.\.\/up"/ },
  { why: 'ipam that is text', input: { ...config, ipam: 'host-local' }, code: 7, msg: /ipam is not an object/ },
  { why: 'prevResult that is a list', input: { ...config, prevResult: [] }, code: 7, msg: /prevResult/ },
  { why: 'prevResult with bad addresses', input: { ...config, prevResult: { ips: [{}] } }, code: 7, msg: /has no address/ },
  { why: 'CHECK without prevResult', environment: { CNI_COMMAND: 'CHECK' }, code: 7, msg: /CHECK needs prevResult/ },
  { why: 'CHECK before it was there', environment: { CNI_COMMAND: 'CHECK' }, input: { ...config, cniVersion: '0.3.1' }, code: 1, msg: /0\.4\.0 brought it/ },
  { why: 'GC before it was there', environment: { CNI_COMMAND: 'GC' }, input: { ...config, cniVersion: '1.0.0' }, code: 1, msg: /1\.1\.0 brought it/ },
  { why: 'GC without attachments', environment: { CNI_COMMAND: 'GC' }, code: 7, msg: /needs cni\.dev\/valid-attachments/ },
  { why: 'GC with an attachment that is none', environment: { CNI_COMMAND: 'GC' }, input: { ...config, 'cni.dev/valid-attachments': [{ containerID: 'a/b', ifname: 'eth0' }] }, code: 7, msg: /not a containerID/ },
  { why: 'a disk that is full', environment: { CNI_COMMAND: 'STATUS' }, code: 5, msg: /ENOSPC/ },
]

for (const { why, environment = {}, input = config, code, msg } of refused) {
  t.test(`refused: ${why}`, async (t) => {
    t.match(await run({ ...good, ...environment }, input), { status: 1, object: { cniVersion: String, code, msg } })
  })
}

t.test('unknown arguments are ignored when the runtime says so', async (t) => {
  t.match(await run({ ...good, CNI_ARGS: 'IgnoreUnknown=1;COLOUR=blue' }, config), { status: 0 })
})

t.test('VERSION lists what is spoken', async (t) => {
  t.match(await run({ CNI_COMMAND: 'VERSION' }, { cniVersion: '0.1.0' }), { status: 0, object: { cniVersion: '0.1.0', supportedVersions: ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] } })
  for (const input of ['', {}, { cniVersion: 7 }]) t.match(await run({ CNI_COMMAND: 'VERSION' }, input), { status: 0, object: { cniVersion: '1.1.0', supportedVersions: { length: 5 } } })
})

t.test('GC is told what stays by either name, and by null that nothing does', async (t) => {
  const told: unknown[] = []
  const gc = (fields: object): Promise<unknown> => runPlugin({ ...plugin, gc: (_, valid) => Promise.resolve(void told.push(valid)) }, { environment: { CNI_COMMAND: 'GC' }, input: JSON.stringify({ ...config, ...fields }) })
  const [a, b] = ['a', 'b'].map((containerID) => ({ containerID, ifname: 'eth0' }))
  for (const fields of [{ 'cni.dev/valid-attachments': [a] }, { 'cni.dev/attachments': [a] }, { 'cni.dev/valid-attachments': [a], 'cni.dev/attachments': [b] }]) t.match(await gc(fields), { status: 0 })
  for (const name of ['cni.dev/valid-attachments', 'cni.dev/attachments']) t.match(await gc({ [name]: null }), { status: 0 })
  t.match(await gc({}), { status: 1, output: /needs cni\.dev\/valid-attachments/ })
  const stays = [{ containerId: 'a', ifname: 'eth0' }]
  t.strictSame(told, [stays, stays, stays, [], []])
})

t.test('DEL answers nothing', async (t) => {
  t.strictSame(await runPlugin(plugin, { environment: { ...good, CNI_COMMAND: 'DEL', CNI_NETNS: '' }, input: JSON.stringify(config) }), { status: 0, output: '' })
})

t.test('results are those of the version asked for', async (t) => {
  const added = async (cniVersion: string): Promise<Record<string, unknown>> => (await run(good, { ...config, cniVersion })).object
  const old = await added('0.3.1')
  t.match(old, { cniVersion: '0.3.1', ips: [{ version: '4', address: '10.244.0.5/32' }, { version: '6' }] })
  const middle = await added('1.0.0')
  t.strictSame(middle['interfaces'], [{ name: 'fw1', mac: '02:00:00:00:00:01' }, { name: 'eth0', mac: '02:00:00:00:00:02', sandbox: '/run/netns/a' }])
  t.strictSame(middle['routes'], [{ dst: '0.0.0.0/0', gw: '169.254.1.1' }])
  t.strictSame(middle['ips'], [{ interface: 1, address: '10.244.0.5/32', gateway: '169.254.1.1' }, { interface: 1, address: 'fd00::5/128', gateway: 'fe80::1' }])
  t.match(await added('1.1.0'), { interfaces: [{ mtu: 1400 }, { mtu: 1400 }], routes: [{ mtu: 1300 }] })
  for (const version of ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const) {
    t.match(decodeResult(encodeResult(result, version), 'it').ips, result.ips, `${version} is read back`)
  }
})

t.test('whatever comes in, the answer is a result or an error object', async () => {
  const text = fc.oneof(fc.json(), fc.string(), fc.constantFrom('/', 'ADD', 'DEL', 'GC', 'eth0', 'abc', ''))
  const environment = fc.record({ CNI_COMMAND: fc.constantFrom('ADD', 'DEL', 'CHECK', 'GC', 'STATUS', 'VERSION', 'x'), CNI_CONTAINERID: text, CNI_NETNS: text, CNI_IFNAME: text, CNI_ARGS: text })
  const input = fc.oneof(text, fc.record({ cniVersion: fc.constantFrom('1.1.0', '0.4.0', 7), name: text, ipam: fc.jsonValue(), prevResult: fc.jsonValue(), 'cni.dev/valid-attachments': fc.jsonValue() }).map((value) => JSON.stringify(value)))
  await fc.assert(fc.asyncProperty(environment, input, async (environment, input) => {
    const { status, object } = await run(environment, input)
    if (status !== 0 && !(typeof object['code'] === 'number' && typeof object['msg'] === 'string' && object['code'] !== 100)) throw new Error(JSON.stringify(object))
  }))
})
