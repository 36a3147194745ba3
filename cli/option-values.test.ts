import t from 'tap'
import { address, addressAndPort, cidr, cidrOrPrimary, collect, durationMs, ofEachFamily, overlay, portRange, repeat, wholeNumber } from './option-values.ts'

t.test('durations are read as Go writes them', (t) => {
  t.equal(durationMs('40s'), 40_000)
  t.equal(durationMs('1m30s'), 90_000)
  t.equal(durationMs('1.5h'), 5_400_000)
  t.equal(durationMs('250ms'), 250)
  for (const wrong of ['', '40', 's', '40x', '40s ', '-1s']) t.throws(() => durationMs(wrong), /duration/, wrong)
  t.end()
})

t.test('numbers, addresses, ranges and ports have bounds', (t) => {
  t.equal(wholeNumber(1, 9)('9'), 9)
  for (const wrong of ['0', '10', '1.5', '', '0x1', 'many']) t.throws(() => wholeNumber(1, 9)(wrong), /whole number from 1 to 9/, wrong)
  t.equal(address('::1'), '::1')
  t.throws(() => address('010.1.1.1'), /IP address/)
  t.equal(cidr('fd00::/112'), 'fd00::/112')
  for (const wrong of ['10.0.0.0', '10.0.0.0/33', 'x/8', '10.0.0.0/']) t.throws(() => cidr(wrong), /range/, wrong)
  t.same(['primary', '192.0.2.0/24'].map(cidrOrPrimary), ['primary', '192.0.2.0/24'])
  t.throws(() => cidrOrPrimary('secondary'), /range/)
  t.same(addressAndPort('[::1]:53'), { address: '::1', port: 53 })
  t.same(addressAndPort('127.0.0.1:0'), { address: '127.0.0.1', port: 0 })
  for (const wrong of ['::1:53', 'localhost:53', '127.0.0.1', '127.0.0.1:70000']) t.throws(() => addressAndPort(wrong), /address and a port/, wrong)
  t.equal(portRange('30000-32767'), '30000-32767')
  for (const wrong of ['5-1', '0-5', '1-70000', '80']) t.throws(() => portRange(wrong), /range of ports/, wrong)
  const several = collect(String)
  several('a')
  t.same(several('b,c'), ['a', 'b', 'c'])
  t.same(repeat(String)('a=1,2'), ['a=1,2'], 'commas of the value itself stay')
  t.end()
})

t.test('one value for each family of addresses', (t) => {
  t.equal(ofEachFamily(cidr)('10.96.0.0/12,fd00:10:96::/112'), '10.96.0.0/12,fd00:10:96::/112')
  t.equal(ofEachFamily(address)('fd00::a'), 'fd00::a')
  for (const wrong of ['10.96.0.0/12,10.97.0.0/16', '10.96.0.0/12,fd00::/112,fd01::/112']) t.throws(() => ofEachFamily(cidr)(wrong), /one of each IP family/, wrong)
  t.throws(() => ofEachFamily(cidr)('10.96.0.0/12,'), /range/)
  t.end()
})

t.test('an overlay is one that there is', (t) => {
  t.strictSame(['vxlan', 'host-gw', 'direct', 'wireguard'].map(overlay), ['vxlan', 'host-gw', 'direct', 'wireguard'])
  t.throws(() => overlay('pigeon'), /one of vxlan, host-gw, direct, wireguard/)
  t.end()
})
