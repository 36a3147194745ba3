import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { systemClock } from '../../api/clock.ts'
import { parseNetworkConfig } from './conflist.ts'
import { PodNetwork } from './pod-network.ts'

/** Two plugins that write down how they were called, and a network made of them. */
function bench(t: Test, script: string, plugins: readonly object[]): { network: PodNetwork; calls: () => string[] } {
  const directory = mkdtempSync(join(tmpdir(), 'fairway-network-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const [binDir, confDir] = [join(directory, 'bin'), join(directory, 'conf')]
  mkdirSync(binDir)
  mkdirSync(confDir)
  for (const name of ['one', 'two']) {
    writeFileSync(join(binDir, name), `#!/bin/sh\nconfig=$(cat)\necho "$CNI_COMMAND ${name} $CNI_CONTAINERID $CNI_IFNAME $config" >>${directory}/calls\n${script}`)
    chmodSync(join(binDir, name), 0o755)
  }
  writeFileSync(join(confDir, '10.conflist'), JSON.stringify({ cniVersion: '1.1.0', name: 'net', plugins }))
  writeFileSync(join(directory, 'calls'), '')
  const network = new PodNetwork({ binDir, confDir, cacheDir: join(directory, 'cache'), clock: systemClock })
  return { network, calls: () => readFileSync(join(directory, 'calls'), 'utf8').split('\n').filter((line) => line !== '') }
}

const request = { sandboxId: 's0', netnsPath: '/absent', podNamespace: 'default', podName: 'web', podUid: 'u', capabilityArgs: { portMappings: [{ hostPort: 80 }] } }
const give = `[ $CNI_COMMAND = ADD ] && echo '{"cniVersion":"1.1.0","ips":[{"address":"10.0.0.7/32"},{"address":"fd00::7/128"}]}'\nexit 0\n`

t.test('ADD runs the chain in order, each with the result before it; DEL backwards with the last', async (t) => {
  const { network, calls } = bench(t, give, [{ type: 'one' }, { type: 'two', capabilities: { portMappings: true } }])
  t.same(await network.attach(request), ['10.0.0.7', 'fd00::7'])
  t.same(network.addresses('s0'), ['10.0.0.7', 'fd00::7'])
  t.match(calls()[0], /^ADD one s0 eth0 /)
  t.notMatch(calls()[0], /prevResult|runtimeConfig/)
  t.match(calls()[1], /^ADD two .*"runtimeConfig":\{"portMappings":\[\{"hostPort":80\}\]\}.*"prevResult":\{.*10\.0\.0\.7/)
  await network.detach('s0')
  t.match(calls().slice(2), [/^DEL two .*prevResult/, /^DEL one .*prevResult/])
  t.equal(network.addresses('s0'), undefined)
  await network.detach('s0')
  t.equal(calls().length, 4, 'nothing is attached any more')
})

t.test('a chain that fails is taken back, and says why', async (t) => {
  const { network, calls } = bench(t, `case $0-$CNI_COMMAND in */two-ADD) echo '{"code":11,"msg":"no room","details":"at all"}'; exit 1;; esac\n${give}`, [{ type: 'one' }, { type: 'two' }])
  await t.rejects(network.attach(request), { message: 'Cannot run CNI ADD of plugin two: no room; at all (code 11)', code: 11 })
  t.match(calls().map((line) => line.split(' ').slice(0, 2).join(' ')), ['ADD one', 'ADD two', 'DEL two', 'DEL one'])
  t.equal(network.addresses('s0'), undefined)
})

t.test('STATUS decides on readiness, and GC is told what stays', async (t) => {
  const { network, calls } = bench(t, give, [{ type: 'one' }])
  t.same(await network.status(), { ready: true })
  await network.attach(request)
  await network.attach({ ...request, sandboxId: 's1' })
  await network.collect(['s1'])
  t.match(calls().slice(-2), [/^DEL one s0 /, /^GC one .*"cni\.dev\/valid-attachments":\[\{"containerID":"s1","ifname":"eth0"\}\]/])
  const broken = bench(t, 'echo no daemon >&2; exit 1\n', [{ type: 'one' }])
  t.match(await broken.network.status(), { ready: false, reason: /no daemon/ })
  const missing = bench(t, '', [{ type: 'three' }])
  t.match(await missing.network.status(), { ready: false, reason: /no executable of that name/ })
})

t.test('configurations that cannot be used say why', (t) => {
  const cases: ReadonlyArray<readonly [unknown, RegExp]> = [
    [{ cniVersion: '9', name: 'n', type: 'x' }, /cniVersion 9 is not one of/], [{ cniVersion: '1.0.0', type: 'x' }, /no usable name/], [{ cniVersion: '1.0.0', name: 'n' }, /names no plugins/],
    [{ cniVersion: '1.0.0', name: 'n', type: '../x' }, /type has to be the name of an executable/], [[], /not a JSON object/],
  ]
  for (const [config, expected] of cases) t.throws(() => parseNetworkConfig('file', JSON.stringify(config)), expected)
  t.match(parseNetworkConfig('file', '{"cniVersion":"0.4.0","cniVersions":["1.1.0","9.9.9"],"name":"n","type":"x"}'), { cniVersion: '1.1.0', plugins: [{ type: 'x' }] })
  t.end()
})
