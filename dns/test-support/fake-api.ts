/** An API server as far as a DNS server sees one: lists, and watches that the test feeds. */
import { Client } from '../../api/client.ts'
import type { ApiRequest, ApiResponse } from '../../api/transport.ts'
import type { KubeObject } from '../../api/types.ts'

interface Open {
  readonly plural: string
  /** `key=value`, or nothing for all. */
  readonly selector: string
  send(line: string | undefined): void
}

export class FakeApi {
  readonly client = new Client((request) => this.#answer(request))
  /** Nobody is answered until this resolves. */
  reachable: Promise<void> = Promise.resolve()
  readonly #objects = new Map<string, KubeObject>()
  readonly #open = new Set<Open>()
  #revision = 1

  /** Creates or replaces an object and tells the watchers. */
  put(plural: string, object: KubeObject): void {
    const key = keyOf(plural, object)
    const event = this.#objects.has(key) ? 'MODIFIED' : 'ADDED'
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(++this.#revision) } }
    const before = this.#objects.get(key)
    this.#objects.set(key, stored)
    this.#tell(plural, event, stored, before)
  }

  remove(plural: string, object: KubeObject): void {
    this.#objects.delete(keyOf(plural, object))
    this.#tell(plural, 'DELETED', { ...object, metadata: { ...object.metadata, resourceVersion: String(++this.#revision) } })
  }

  /** Ends every watch, as a server that goes away. */
  hangUp(): void {
    for (const open of this.#open) open.send(undefined)
  }

  /** Whoever selects by labels hears of an object that comes to have them as new, and of one that loses them as gone. */
  #tell(plural: string, type: string, object: KubeObject, before?: KubeObject): void {
    for (const open of this.#open) {
      if (open.plural !== plural) continue
      const [was, is] = [before !== undefined && selects(open.selector, before), selects(open.selector, object)]
      if (open.selector === '' || is) open.send(`${JSON.stringify({ type: open.selector === '' || was || type === 'DELETED' ? type : 'ADDED', object })}\n`)
      else if (was) open.send(`${JSON.stringify({ type: 'DELETED', object })}\n`)
    }
  }

  async #answer({ path, signal }: ApiRequest): Promise<ApiResponse> {
    await this.reachable
    const url = new URL(path, 'http://fake')
    const [name = '', kind = '', namespace = ''] = url.pathname.split('/').toReversed()
    const single = this.#objects.get(`${kind} ${namespace}/${name}`)
    if (single !== undefined) return { status: 200, headers: {}, body: once(JSON.stringify(single)) }
    const plural = name
    const selector = url.searchParams.get('labelSelector') ?? ''
    if (url.searchParams.get('watch') === 'true') return { status: 200, headers: {}, body: this.#watch(plural, selector, signal) }
    const items = [...this.#objects].filter(([key, object]) => key.startsWith(`${plural} `) && selects(selector, object)).map(([, object]) => object)
    return { status: 200, headers: {}, body: once(JSON.stringify({ metadata: { resourceVersion: String(this.#revision) }, items })) }
  }

  async *#watch(plural: string, selector: string, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
    const lines: (string | undefined)[] = []
    let wake = (): void => undefined
    const open: Open = {
      plural, selector,
      send: (line) => {
        lines.push(line)
        wake()
      },
    }
    if (signal?.aborted === true) return
    this.#open.add(open)
    signal?.addEventListener('abort', () => open.send(undefined), { once: true })
    try {
      for (;;) {
        while (lines.length === 0) await new Promise<void>((resolve) => (wake = resolve))
        const line = lines.shift()
        if (line === undefined) return
        yield Buffer.from(line)
      }
    } finally {
      this.#open.delete(open)
    }
  }
}

function selects(selector: string, { metadata }: KubeObject): boolean {
  const [key = '', value] = selector.split('=')
  return selector === '' || metadata.labels?.[key] === value
}

function keyOf(plural: string, { metadata }: KubeObject): string {
  return `${plural} ${metadata.namespace ?? ''}/${metadata.name ?? ''}`
}

async function* once(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text)
}
