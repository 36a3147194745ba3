/** Writes tar archives (POSIX.1-1988 ustar): the same entries give the same bytes, whoever writes them and when. */

export interface TarEntry {
  /** Relative, without a slash at either end. */
  readonly path: string
  readonly mode?: number
  readonly content: { readonly file: Uint8Array } | { readonly link: string } | 'folder'
}

const blockBytes = 512
const typeFlags = { file: '0', link: '2', folder: '5' } as const

export function tar(entries: readonly TarEntry[]): Buffer {
  const parts: Uint8Array[] = []
  for (const entry of entries) {
    const file = entry.content !== 'folder' && 'file' in entry.content ? entry.content.file : new Uint8Array()
    parts.push(header(entry, file.length), file, new Uint8Array(-file.length & (blockBytes - 1)))
  }
  return Buffer.concat([...parts, new Uint8Array(2 * blockBytes)])
}

/** Owner root, time zero. */
function header({ path, mode, content }: TarEntry, size: number): Buffer {
  const kind = content === 'folder' ? 'folder' : 'file' in content ? 'file' : 'link'
  const block = Buffer.alloc(blockBytes)
  const name = kind === 'folder' ? `${path}/` : path
  if (Buffer.byteLength(name) > 100) throw new Error(`Cannot write ${path} to a tar archive: its name is longer than 100 bytes`)
  const octal = (value: number, at: number, width: number): void => void block.write(`${value.toString(8).padStart(width - 1, '0')}\0`, at, 'latin1')
  block.write(name, 0)
  octal(mode ?? (kind === 'folder' ? 0o755 : kind === 'link' ? 0o777 : 0o644), 100, 8)
  octal(0, 108, 8)
  octal(0, 116, 8)
  octal(size, 124, 12)
  octal(0, 136, 12)
  block.write('        ', 148)
  block.write(typeFlags[kind], 156)
  if (content !== 'folder' && 'link' in content) block.write(content.link, 157, 100)
  block.write('ustar\x0000', 257, 'latin1')
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return block
}
