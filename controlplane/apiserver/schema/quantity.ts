// The one way in which a quantity is written (apimachinery resource.Quantity: CanonicalizeBytes): `0.5` → `500m`,
// `1024Mi` → `1Gi`, `1000m` → `1`. Exact, unlike the numbers that the parts calculate with.

const shape = /^([+-]?)(\d*)(?:\.(\d*))?(?:([numkMGTPE])|([KMGTPE])i|[eE]([+-]?\d{1,3}))?$/
const decimal = ['n', 'u', 'm', '', 'k', 'M', 'G', 'T', 'P', 'E']
const binary = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei']
const nano = 10n ** 9n

/** Undefined when the text is no quantity. */
export function canonicalQuantity(text: string): string | undefined {
  const match = shape.exec(text)
  if (match === null) return undefined
  const [, sign = '', whole = '', fraction = '', unit = '', binaryUnit = '', exponent] = match
  if (whole === '' && fraction === '') return undefined
  const power = exponent === undefined ? (decimal.indexOf(unit) - 3) * 3 : Number(exponent)
  const factor = binaryUnit === '' ? 1n : 1024n ** BigInt(binary.indexOf(`${binaryUnit}i`))
  const value = scale(BigInt(`${whole}${fraction}`) * factor, (binaryUnit === '' ? power : 0) - fraction.length + 9)
  if (value === 0n) return '0'
  const minus = sign === '-' ? '-' : ''
  if (binaryUnit !== '' && value >= 1024n * nano) return `${minus}${inUnits(divideUp(value, nano), 1024n, binary)}`
  if (exponent === undefined) return `${minus}${inUnits(value, 1000n, decimal)}`
  const text1000 = inUnits(value, 1000n, decimal.map((_, i) => (i === 3 ? '' : `e${(i - 3) * 3}`)))
  return `${minus}${text1000}`
}

/** Multiplied by a power of ten; what is smaller than a nano is rounded up. */
function scale(value: bigint, power: number): bigint {
  return power >= 0 ? value * 10n ** BigInt(power) : divideUp(value, 10n ** BigInt(-power))
}

function divideUp(value: bigint, by: bigint): bigint {
  return (value + by - 1n) / by
}

function inUnits(value: bigint, step: bigint, units: readonly string[]): string {
  let unit = 0
  let rest = value
  while (unit < units.length - 1 && rest % step === 0n) {
    rest /= step
    unit += 1
  }
  return `${rest}${units[unit] ?? ''}`
}
