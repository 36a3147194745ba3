/** An API server of Nodes in memory, as the overlay's client sees one: list and watch. */
import type { Transport } from '../../api/transport.ts'
import type { Node } from '../../api/types.ts'

export class NodeList {
  readonly #nodes = new Map<string, Node>()
  readonly #watchers = new Set<(line: string) => void>()
  #revision = 1

  set(name: string, addresses: string | readonly string[], podCIDRs: readonly string[]): void {
    const known = this.#nodes.has(name)
    const node: Node = {
      metadata: { name, uid: name, resourceVersion: String(++this.#revision) }, spec: { podCIDRs: [...podCIDRs] },
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

  #tell(type: string, object: unknown): void {
    for (const watcher of this.#watchers) watcher(`${JSON.stringify({ type, object })}\n`)
  }

  readonly transport: Transport = async ({ path, signal }) => {
    const list = { metadata: { resourceVersion: String(this.#revision) }, items: [...this.#nodes.values()] }
    const body = path.includes('watch=true') ? this.#watch(signal) : (async function* () { yield Buffer.from(JSON.stringify(list)) })()
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
