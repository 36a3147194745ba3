/** What commands say to their user. */

export function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

/** Throws the one sentence for those who may not. */
export function requireRoot(what: string): void {
  if (process.getuid?.() !== 0) throw new Error(`Cannot ${what} without root (hosts are namespaces, mounts and container engines, and their files are root's): run it with sudo`)
}

/** Rows as columns, two spaces between them. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = []
  for (const row of rows) row.forEach((cell, column) => (widths[column] = Math.max(widths[column] ?? 0, cell.length)))
  return rows.map((row) => row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0))).join('  ').trimEnd()).join('\n')
}
