// Patterns in RE2's syntax (https://github.com/google/re2/wiki/Syntax), in which the API has them: with flags in the middle, and in a time that grows with the
// text alone, so that nobody's pattern holds up the server.
import { RE2JS } from 're2js'

export interface Pattern {
  /** Whether it is found anywhere in a text. */
  test(text: string): boolean
  /** What it finds, from left to right; at most so many. */
  findAll(text: string, most?: number): string[]
}

const known = new Map<string, Pattern | undefined>()
const knownMax = 2000
const lengthMax = 10_000

/** Compiles a pattern once; undefined if it cannot be read. */
export function patternOf(pattern: string): Pattern | undefined {
  if (!known.has(pattern)) {
    if (known.size >= knownMax) known.clear()
    known.set(pattern, compile(pattern))
  }
  return known.get(pattern)
}

function compile(pattern: string): Pattern | undefined {
  if (pattern.length > lengthMax) return undefined
  let compiled: RE2JS
  try {
    compiled = RE2JS.compile(pattern)
  } catch {
    return undefined // told by the caller, who knows what the pattern is of
  }
  return {
    test: (text) => compiled.test(text),
    findAll: (text, most = Infinity) => {
      const matcher = compiled.matcher(text)
      const found: string[] = []
      while (found.length < most && matcher.find()) found.push(matcher.group() ?? '')
      return found
    },
  }
}
