// `Object{spec: Object.spec{replicas: 3}}` and `JSONPatch{op: "add", …}`, as mutating policies write objects (KEP-3962). cel-js knows maps only,
// so they become maps with the same keys before they are read.

/** Texts, comments, names with dots, escaped names, and whatever else by itself. */
const token = /\/\/[^\n]*|(?:[rRbB]{0,2})(?:"""[^]*?"""|'''[^]*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|`[^`\n]*`|[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*|\s+|[^]/g
const typeName = /^(?:Object|JSONPatch)(?:\.|$)/

/** The same expression with maps in the place of typed objects. */
export function withMaps(expression: string): string {
  const tokens = expression.match(token) ?? []
  const next = (at: number): string => tokens.slice(at + 1).find((one) => !/^\s/.test(one)) ?? ''
  const open: string[] = []
  let isKey = false
  let isTyped = false
  return tokens
    .map((one, i) => {
      if (/^\s/.test(one) || one.startsWith('//')) return one
      const begins = isKey
      isKey = false
      if (typeName.test(one) && next(i) === '{') {
        isTyped = true
        return ''
      }
      if (one === '{' || one === '[' || one === '(') {
        open.push(isTyped && one === '{' ? 'object' : one)
        isKey = open.at(-1) === 'object'
        isTyped = false
      } else if (one === '}' || one === ']' || one === ')') open.pop()
      else if (one === ',') isKey = open.at(-1) === 'object'
      else if (begins && one === '?') isKey = true
      else if (begins && next(i) === ':') return JSON.stringify(one.replaceAll('`', ''))
      return one
    })
    .join('')
}
