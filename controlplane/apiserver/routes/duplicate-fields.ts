// Fields that a JSON text gives twice. JSON.parse keeps the last one silently, which hides mistakes in manifests.

/** Paths such as `spec.containers[0].name`, each once, in the order of the text. The text may be any; what is no JSON has none. */
export function duplicateFields(text: string): string[] {
  const found = new Set<string>()
  const stack: { readonly keys: Set<string> | undefined; index: number; key: string }[] = []
  let expectKey = false
  for (let at = 0; at < text.length; at++) {
    const character = text[at]
    const top = stack.at(-1)
    if (character === '"') {
      const end = stringEnd(text, at)
      if (expectKey && top?.keys !== undefined) {
        const raw = text.slice(at + 1, end)
        top.key = raw.includes('\\') ? unescaped(text.slice(at, end + 1)) : raw
        if (top.keys.has(top.key)) found.add(pathOf(stack))
        top.keys.add(top.key)
        expectKey = false
      }
      at = end
    } else if (character === '{') {
      stack.push({ keys: new Set(), index: 0, key: '' })
      expectKey = true
    } else if (character === '[') {
      stack.push({ keys: undefined, index: 0, key: '' })
      expectKey = false
    } else if (character === '}' || character === ']') {
      stack.pop()
      expectKey = false
    } else if (character === ',' && top !== undefined) {
      if (top.keys === undefined) top.index++
      else expectKey = true
    }
  }
  return [...found]
}

function pathOf(stack: readonly { readonly keys: Set<string> | undefined; readonly index: number; readonly key: string }[]): string {
  return stack.map(({ keys, index, key }, i) => (keys === undefined ? `[${index}]` : i === 0 ? key : `.${key}`)).join('')
}

function stringEnd(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === '\\') at++
    else if (text[at] === '"') return at
  }
  return text.length
}

function unescaped(literal: string): string {
  try {
    return JSON.parse(literal) as string
  } catch {
    // Broken text is refused by the parser proper.
    return literal
  }
}
