// JSON text to values and back, with what JavaScript's own reader loses: integers of 64 bits (`int64` in Kubernetes' types) stay what they
// are, as BigInt where a number could not hold them.
import { badRequest } from './status.ts'

const int64Min = -(2n ** 63n)
const int64Max = 2n ** 63n - 1n

// JSON.stringify asks every value for this, and otherwise refuses a BigInt: so whoever writes an object writes its integers as they came.
if (!Object.hasOwn(BigInt.prototype, 'toJSON')) {
  // oxlint-disable-next-line no-extend-native -- it is the one place that every JSON.stringify of an object passes
  Object.defineProperty(BigInt.prototype, 'toJSON', { configurable: true, writable: true, value: rawJson })
}

function rawJson(this: bigint): unknown {
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(String(this))
}

/** A number that is written like this may be more than a number holds exactly. */
const longNumber = /\d{16}/
/** An escaped underscore could spell the key too. */
const prototypeKey = /__proto__|\\u005f/i

/** Reads JSON from outside: a 400 for what is none, and for the one key that JavaScript gives a meaning to. */
export function parseJson(text: string): unknown {
  try {
    return longNumber.test(text) || prototypeKey.test(text) ? JSON.parse(text, revive) : JSON.parse(text)
  } catch (error) {
    throw badRequest(`the object provided is not valid JSON: ${(error as Error).message}`)
  }
}

function revive(key: string, value: unknown, context?: { readonly source?: string }): unknown {
  if (key === '__proto__') throw new Error('the key "__proto__" is not supported')
  return typeof value === 'number' && !Number.isSafeInteger(value) ? exactInteger(context?.source ?? '', value) : value
}

/** The integer that a text says, if it is one of 64 bits; the nearest number otherwise, as Go's decoder has it. */
export function exactInteger(text: string, nearest: number): number | bigint {
  if (!/^-?\d+$/.test(text)) return nearest
  const exact = BigInt(text)
  return exact >= int64Min && exact <= int64Max ? exact : nearest
}

/** Whether a value is a whole number that 64 bits hold. */
export function isInt64(value: unknown): value is number | bigint {
  if (typeof value === 'bigint') return value >= int64Min && value <= int64Max
  return typeof value === 'number' && Number.isInteger(value) && value >= -(2 ** 63) && value < 2 ** 63
}

/** Deeper than any object that makes sense, and far from the end of the stack of those who walk through it. */
const depthMax = 500
const [quote, backslash, openBrace, openBracket, closeBrace, closeBracket] = [0x22, 0x5c, 0x7b, 0x5b, 0x7d, 0x5d]

/** Refuses JSON that is nested too deep, as Go's decoder does ("exceeded max depth"). */
export function checkDepth(body: Buffer): void {
  if (body.length < 2 * depthMax) return
  let depth = 0
  let isInText = false
  for (let i = 0; i < body.length; i++) {
    const byte = body[i]
    if (isInText) {
      if (byte === backslash) i++
      else if (byte === quote) isInText = false
    } else if (byte === quote) isInText = true
    else if (byte === openBrace || byte === openBracket) {
      if (++depth > depthMax) throw badRequest('the object provided is not valid: exceeded max depth')
    } else if (byte === closeBrace || byte === closeBracket) depth--
  }
}
