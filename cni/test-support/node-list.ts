/** An API server of Nodes in memory, as the overlay's client sees one: list, watch, and annotations by merge patch. */
import type { Transport } from '../../api/transport.ts'
import type { Node } from '../../api/types.ts'

export class NodeList {
  readonly #nodes = new Map<string, Node>()
  readonly #watchers = new Set<(line: string) => void>()
  #revision = 1

  set(name: string, addresses: string | readonly string[], podCIDRs: readonly string[]): void {
    const known = this.#nodes.has(name)
    const node: Node = {
      metadata: { name, uid: name, resourceVersion: String(++this.#revision), annotations: this.annotationsOf(name) }, spec: { podCIDRs: [...podCIDRs] },
      status: { addresses: [...[addresses].flat().map((address) => ({ type: 'InternalIP' as const, address })), { type: 'Hostname' as const, address: name }] },
    }
    this.#nodes.set(name, node)
    this.#tell(known ? 'MODIFIED' : 'ADDED', node)
  }

  delete(name: string): void {
    const node = this.#nodes.get(name)
    this.#nodes.delete(name)
    this.#tell('DELETED', { ...node, metadata: { ...node?.metadata, resourceVersion: String(++this.#revision) } })
  }

  annotationsOf(name: string): Readonly<Record<string, string>> {
    return this.#nodes.get(name)?.metadata.annotations ?? {}
  }

  annotate(name: string, changes: Readonly<Record<string, string | null>>): void {
    const node = this.#nodes.get(name)
    if (node === undefined) throw new Error(`Cannot annotate ${name}: there is no such node`)
    const merged = Object.entries({ ...node.metadata.annotations, ...changes }).filter((pair): pair is [string, string] => pair[1] !== null)
    const annotated = { ...node, metadata: { ...node.metadata, resourceVersion: String(++this.#revision), annotations: Object.fromEntries(merged) } }
    this.#nodes.set(name, annotated)
    this.#tell('MODIFIED', annotated)
  }

  #tell(type: string, object: unknown): void {
    for (const watcher of this.#watchers) watcher(`${JSON.stringify({ type, object })}\n`)
  }

  readonly transport: Transport = async ({ method, path, body: sent, signal }) => {
    const patched = method === 'PATCH' ? (path.split('/').pop() ?? '').replace(/\?.*/, '') : undefined
    if (patched !== undefined) {
      this.annotate(patched, (JSON.parse(String(sent)) as { metadata: { annotations: Record<string, string | null> } }).metadata.annotations)
      return { status: 200, headers: {}, body: bodyOf(this.#nodes.get(patched)) }
    }
    const list = { metadata: { resourceVersion: String(this.#revision) }, items: [...this.#nodes.values()] }
    const body = path.includes('watch=true') ? this.#watch(signal) : bodyOf(list)
    return { status: 200, headers: {}, body }
  }

  async *#watch(signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
    const lines: string[] = []
    let wake = (): void => undefined
    const watcher = (line: string): void => {
      lines.push(line)
      wake()
    }
    this.#watchers.add(watcher)
    signal?.addEventListener('abort', () => wake())
    for (;;) {
      if (signal?.aborted === true) break
      const line = lines.shift()
      if (line === undefined) await new Promise<void>((resolve) => (wake = resolve))
      else yield Buffer.from(line)
    }
    this.#watchers.delete(watcher)
  }
}

async function* bodyOf(object: unknown): AsyncGenerator<Uint8Array> {
  yield Buffer.from(JSON.stringify(object))
}
