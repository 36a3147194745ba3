/** Sets of completion indexes, as an indexed job's status writes them: `0-2,5`. Pure. */

export function parseIndexes(text: string): Set<number> {
  const indexes = new Set<number>()
  for (const part of text.split(',').filter((part) => part !== '')) {
    const [first = NaN, last = first] = part.split('-').map(Number)
    for (let index = first; index <= last; index += 1) indexes.add(index)
  }
  return indexes
}

export function formatIndexes(indexes: ReadonlySet<number>): string {
  const runs: [number, number][] = []
  for (const index of [...indexes].sort((a, b) => a - b)) {
    const run = runs.at(-1)
    if (run !== undefined && run[1] === index - 1) run[1] = index
    else runs.push([index, index])
  }
  return runs.map(([first, last]) => (first === last ? String(first) : last === first + 1 ? `${first},${last}` : `${first}-${last}`)).join(',')
}
