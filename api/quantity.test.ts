import t from 'tap'
import { formatBytes, formatMilli, isQuantity, milliValue, parseQuantity, sumResources } from './quantity.ts'

t.test('quantities are read with every suffix', async (t) => {
  const cases = { '1': 1, '250m': 0.25, '64Mi': 67_108_864, '1.5Gi': 1_610_612_736, '2k': 2000, '1e3': 1000, '.5': 0.5, '100n': 1e-7, '1E': 1e18 }
  for (const [text, value] of Object.entries(cases)) t.equal(parseQuantity(text), value, text)
})

t.test('what is no quantity is refused by name', async (t) => {
  for (const text of ['', 'abc', '1 Mi', '1mi', '--1', '1e', '0x10']) {
    t.throws(() => parseQuantity(text), { message: /Cannot read quantity/ }, text)
    t.notOk(isQuantity(text))
  }
})

t.test('amounts are written as people write them', async (t) => {
  t.equal(formatMilli(1500), '1500m')
  t.equal(formatMilli(2000), '2')
  t.equal(formatBytes(67_108_864), '64Mi')
  t.equal(formatBytes(1000), '1000')
  t.equal(milliValue('0.1'), 100)
  t.equal(milliValue('0.0001'), 1)
  t.same(sumResources([{ cpu: '1' }, undefined, { cpu: '500m', memory: '1Ki' }]), { cpu: 1.5, memory: 1024 })
})
