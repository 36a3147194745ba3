/** Every malformed configuration, environment, previous result and namespace: the specification's error object, and nothing left. */
import * as fc from 'fast-check'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Plugins } from './plugins.ts'
import { execute, leftovers, makeHost, nothing } from './test-support/host.ts'
import type { TestHost } from './test-support/host.ts'

if (process.getuid?.() !== 0) {
  t.plan(0, 'bad input to the executable: needs root')
  process.exit()
}

type Row = readonly [why: string, code: number, msg: RegExp, change: { readonly environment?: Readonly<Record<string, string>>; readonly input?: unknown; readonly fields?: Readonly<Record<string, unknown>>; readonly ipam?: Readonly<Record<string, unknown>> }]

const prevResult = { cniVersion: '1.1.0', interfaces: [], ips: [], routes: [] }

function rows(host: TestHost): readonly Row[] {
  const place = (name: string): Readonly<Record<string, string>> => ({ CNI_NETNS: join(host.folder, name) })
  return [
    ['no input', 6, /Cannot read configuration/, { input: '' }],
    ['input that is no JSON', 6, /Cannot read configuration/, { input: '{"cniVersion"' }],
    ['input that is a list', 6, /not a JSON object/, { input: '[]' }],
    ['input that is null', 6, /not a JSON object/, { input: 'null' }],
    ['no version', 1, /0\.1\.0/, { fields: { cniVersion: undefined } }],
    ['a version to come', 1, /2\.0\.0/, { fields: { cniVersion: '2.0.0' } }],
    ['a version that is a number', 1, /version 1/, { fields: { cniVersion: 1 } }],
    ['no name', 7, /name is missing/, { fields: { name: undefined } }],
    ['a name that is a path', 7, /name "\.\.\/x"/, { fields: { name: '../x' } }],
    ['a name of 300 letters', 7, /name/, { fields: { name: 'n'.repeat(300) } }],
    ['no command', 4, /CNI_COMMAND is missing/, { environment: { CNI_COMMAND: '' } }],
    ['a command that is none', 4, /"PLEASE"/, { environment: { CNI_COMMAND: 'PLEASE' } }],
    ['no container id', 4, /CNI_CONTAINERID is missing/, { environment: { CNI_CONTAINERID: '' } }],
    ['a container id that is a path', 4, /CNI_CONTAINERID/, { environment: { CNI_CONTAINERID: '../a' } }],
    ['a container id of 2,000 letters', 4, /CNI_CONTAINERID/, { environment: { CNI_CONTAINERID: 'a'.repeat(2000) } }],
    ['no link name', 4, /CNI_IFNAME is missing/, { environment: { CNI_IFNAME: '' } }],
    ['a link name of 16 bytes', 4, /CNI_IFNAME/, { environment: { CNI_IFNAME: 'a'.repeat(16) } }],
    ['a link name with a slash', 4, /CNI_IFNAME/, { environment: { CNI_IFNAME: 'a/b' } }],
    ['the link name lo', 4, /CNI_IFNAME is lo/, { environment: { CNI_IFNAME: 'lo' } }],
    ['no namespace', 4, /CNI_NETNS is missing/, { environment: { CNI_NETNS: '' } }],
    ['a namespace that is relative', 4, /not an absolute path/, { environment: { CNI_NETNS: 'a' } }],
    ['a namespace that is not there', 3, /does not exist/, { environment: place('nowhere') }],
    ['a namespace below a file', 3, /does not exist/, { environment: place('plain/a') }],
    ['a file for a namespace', 4, /is not a network namespace/, { environment: place('plain') }],
    ['a folder for a namespace', 4, /is not a network namespace/, { environment: place('folder') }],
    ['a pipe for a namespace', 4, /is not a network namespace/, { environment: place('pipe') }],
    ['a link that leads nowhere for a namespace', 3, /does not exist/, { environment: place('dangling') }],
    ['a namespace of another kind', 4, /is not a network namespace/, { environment: { CNI_NETNS: '/proc/self/ns/uts' } }],
    ["the host's namespace", 4, /host's own/, { environment: place('host') }],
    ['arguments without values', 4, /CNI_ARGS/, { environment: { CNI_ARGS: 'IP' } }],
    ['arguments that are not known', 4, /CNI_ARGS has Colour/, { environment: { CNI_ARGS: 'Colour=blue' } }],
    ['an argument that is no address', 7, /requested address/, { environment: { CNI_ARGS: 'IP=300.1.1.1' } }],
    ['a previous result that is a number', 7, /prevResult/, { fields: { prevResult: 7 } }],
    ['a previous result whose ips is a word', 7, /prevResult: ips/, { fields: { prevResult: { ...prevResult, ips: 'none' } } }],
    ['a previous result with an ip without address', 7, /no address/, { fields: { prevResult: { ...prevResult, ips: [{}] } } }],
    ['a previous result with an address that is none', 7, /address "10\.0\.0\.300\/24"/, { fields: { prevResult: { ...prevResult, ips: [{ address: '10.0.0.300/24' }] } } }],
    ['a previous result with a gateway that is none', 7, /gateway "up"/, { fields: { prevResult: { ...prevResult, ips: [{ address: '10.0.0.3/24', gateway: 'up' }] } } }],
    ['a previous result with a route that is none', 7, /route to "everywhere"/, { fields: { prevResult: { ...prevResult, routes: [{ dst: 'everywhere' }] } } }],
    ['a previous result with a link that is a number', 7, /interfaces/, { fields: { prevResult: { ...prevResult, interfaces: [1] } } }],
    ['a previous result with nameservers that are none', 7, /dns\.nameservers/, { fields: { prevResult: { ...prevResult, dns: { nameservers: [8] } } } }],
    ['CHECK without previous result', 7, /CHECK needs prevResult/, { environment: { CNI_COMMAND: 'CHECK' } }],
    ['GC without valid attachments', 7, /GC needs/, { environment: { CNI_COMMAND: 'GC' } }],
    ['GC with valid attachments that are none', 7, /valid-attachments/, { environment: { CNI_COMMAND: 'GC' }, fields: { 'cni.dev/valid-attachments': [{ containerID: '../a', ifname: 'eth0' }] } }],
    ['STATUS with an older version', 1, /1\.1\.0 brought it/, { environment: { CNI_COMMAND: 'STATUS' }, fields: { cniVersion: '1.0.0' } }],
    ['dns that is a list', 7, /dns is not an object/, { fields: { dns: [] } }],
    ['runtimeConfig that is a list', 7, /runtimeConfig/, { fields: { runtimeConfig: [] } }],
    ['ports that are none', 7, /hostPort 70000/, { fields: { runtimeConfig: { portMappings: [{ hostPort: 70000, containerPort: 80 }] } } }],
    ['a rate that is none', 7, /ingressRate "fast"/, { fields: { runtimeConfig: { bandwidth: { ingressRate: 'fast' } } } }],
    ['a mac that is none', 7, /mac "02:00"/, { fields: { runtimeConfig: { mac: '02:00' } } }],
    ['requested addresses that are an object', 7, /ips are not a list/, { fields: { runtimeConfig: { ips: {} } } }],
    ['a requested address beyond the ranges', 102, /192\.0\.2\.77/, { fields: { runtimeConfig: { ips: ['192.0.2.77'] } } }],
    ['an MTU that is none', 7, /mtu -1/, { fields: { mtu: -1 } }],
    ['a setting that leaves its folder', 7, /sysctl/, { fields: { sysctl: { 'net/../../etc/passwd': '' } } }],
    ['a setting that the kernel refuses', 104, /ip_local_port_range/, { fields: { sysctl: { 'net.ipv4.ip_local_port_range': '9 1' } } }],
    ['a VLAN, as the reference bridge has it', 2, /vlan asks for: 100 is not supported/, { fields: { vlan: 100 } }],
    ['several VLANs', 2, /vlanTrunk asks for: \[\{"id":100\}\]/, { fields: { vlanTrunk: [{ id: 100 }] } }],
    ['detection of duplicate addresses', 2, /enabledad asks for: true/, { fields: { enabledad: true } }],
    ['a link that is not to be up', 2, /disableContainerInterface asks for: true/, { fields: { disableContainerInterface: true } }],
    ["ports by who asks, as the reference portmap's", 2, /conditionsV4 asks for: \["-s","192\.0\.2\.0\/24"\]/, { fields: { conditionsV4: ['-s', '192.0.2.0/24'] } }],
    ["rates by where to, as the reference bandwidth's", 2, /unshapedSubnets asks for: \["10\.0\.0\.0\/8"\]/, { fields: { unshapedSubnets: ['10.0.0.0/8'] } }],
    ['no ipam', 7, /ipam/, { fields: { ipam: undefined } }],
    ['an ipam that is a word', 7, /ipam is not an object/, { fields: { ipam: 'fairway-ipam' } }],
    ['an ipam.type that is a path', 7, /ipam\.type/, { ipam: { type: '/bin/sh' } }],
    ['ranges that are a word', 7, /ranges/, { ipam: { ranges: 'all' } }],
    ['a range without subnet', 7, /subnet/, { ipam: { ranges: [[{}]] } }],
    ['a subnet that is none', 7, /subnet/, { ipam: { ranges: [[{ subnet: '10.0.0.0/40' }]] } }],
    ['ranges that overlap', 7, /overlap/, { ipam: { ranges: [[{ subnet: '10.0.0.0/24' }], [{ subnet: '10.0.0.0/25' }]] } }],
    ['a range beyond its subnet', 7, /rangeStart/, { ipam: { ranges: [[{ subnet: '10.0.0.0/24', rangeStart: '10.0.1.1' }]] } }],
    ['a dataDir that is relative', 7, /not an absolute path/, { ipam: { dataDir: 'data' } }],
    ['a dataDir that is a file', 5, /ENOTDIR|EEXIST/, { ipam: { dataDir: join(host.folder, 'plain') } }],
    ['a dataDir where nothing can be made', 5, /ENOENT/, { ipam: { dataDir: '/proc/fairway' } }],
    ['a resolvConf that is not there', 5, /ENOENT/, { ipam: { resolvConf: join(host.folder, 'nowhere') } }],
    ['a route that is none', 7, /10\.0\.0\.0\/33/, { ipam: { routes: [{ dst: '10.0.0.0/33' }] } }],
  ]
}

t.test('a table of bad calls', async (t) => {
  using host = await makeHost('resident')
  host.addPod('a')
  mkdirSync(join(host.folder, 'folder'))
  writeFileSync(join(host.folder, 'plain'), '')
  symlinkSync('/nowhere', join(host.folder, 'dangling'))
  await execute('mkfifo', [join(host.folder, 'pipe')])
  for (const [why, code, msg, { environment, input, fields, ipam }] of rows(host)) {
    const base = host.config()
    const config = { ...base, ipam: { ...(base['ipam'] as Record<string, unknown>), ...ipam }, ...fields }
    const { status, stdout } = await execute('nsenter', [`--net=${host.pathOf(undefined)}`, join(host.binDir, 'fairway')], {
      input: typeof input === 'string' ? input : JSON.stringify(config),
      env: { CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'a', CNI_NETNS: host.podPath('a'), CNI_IFNAME: 'eth0', CNI_PATH: host.binDir, ...environment },
    })
    t.match({ status, object: JSON.parse(stdout === '' ? '{}' : stdout) as unknown }, { status: 1, object: { cniVersion: /^\d/, code, msg } }, why)
    const { length } = (await host.run('a', 'ip', '-br', 'link')).stdout.trim().split('\n')
    t.strictSame({ ...leftovers(host), inPod: length }, { ...nothing, inPod: 1 }, `${why}: nothing is left`)
  }
})

t.test('whatever stands at any key, the answer names the configuration as what is wrong', async () => {
  const plugins = new Plugins()
  const keys = ['cniVersion', 'name', 'mtu', 'ipMasq', 'dns', 'bandwidth', 'sysctl', 'prevResult', 'runtimeConfig', 'args', 'ipam', 'dataDir'] as const
  const capabilities = ['portMappings', 'bandwidth', 'ips', 'mac', 'dns', 'ipRanges'] as const
  // the namespace is not there, so that nothing is ever done
  const environment = { CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'a', CNI_NETNS: '/run/fairway-is-not-there/netns', CNI_IFNAME: 'eth0', CNI_PATH: '' }
  const base = { cniVersion: '1.1.0', name: 'net', ipam: { type: 'fairway-ipam', ranges: [[{ subnet: '10.0.0.0/24' }]] } }
  const call = async (fields: unknown): Promise<unknown> => {
    const { status, output } = await plugins.run('fairway', { environment, input: JSON.stringify(fields) })
    return status === 1 ? (JSON.parse(output) as { code: number }).code : status
  }
  await fc.assert(fc.asyncProperty(fc.constantFrom(...keys), fc.jsonValue(), async (key, value) => {
    const code = Number(await call({ ...base, [key]: value }))
    if (![1, 3, 7].includes(code)) throw new Error(`code ${code}`)
  }), { numRuns: 300 })
  await fc.assert(fc.asyncProperty(fc.constantFrom(...capabilities), fc.oneof(fc.jsonValue(), fc.array(fc.dictionary(fc.constantFrom('hostPort', 'containerPort', 'protocol', 'hostIP', 'subnet'), fc.jsonValue()))), async (key, value) => {
    const code = Number(await call({ ...base, runtimeConfig: { [key]: value } }))
    if (![3, 7].includes(code)) throw new Error(`code ${code}`)
  }), { numRuns: 300 })
})
