/** JSON with sorted keys: equal values give equal text, whatever the order in which they were written. */

export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((one) => canonicalJson(one ?? null)).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  const fields = Object.entries(value).filter(([, field]) => field !== undefined).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${fields.map(([name, field]) => `${JSON.stringify(name)}:${canonicalJson(field)}`).join(',')}}`
}

export function equalJson(a: unknown, b: unknown): boolean {
  return a === b || canonicalJson(a) === canonicalJson(b)
}

/** Letters and digits without vowels or what looks like another (apimachinery rand.SafeEncodeString): no words come out. */
const alphabet = 'bcdfghjklmnpqrstvwxz2456789'

/** A short name part for a value: FNV-1a over its canonical JSON; `collisions` gives another for the same value. */
export function hashName(value: unknown, collisions = 0): string {
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(`${canonicalJson(value)}${collisions === 0 ? '' : collisions}`)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  return [...String(hash)].map((digit) => alphabet[digit.charCodeAt(0) % alphabet.length] ?? '').join('')
}

/** A name that nobody has: the prefix, cut to what a name may hold, and five random characters (apiserver names.SimpleNameGenerator). */
export function randomName(prefix: string, random: () => number): string {
  let suffix = ''
  while (suffix.length < 5) suffix += alphabet[Math.floor(random() * alphabet.length)] ?? ''
  return `${prefix.slice(0, 63 - suffix.length)}${suffix}`
}
