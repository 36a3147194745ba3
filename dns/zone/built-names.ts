/** The names of the services that were asked for last, as many as hold so many names together: a service of a thousand endpoints has a thousand. */
import type { ServiceNames } from './service-names.ts'

const namesMax = 500

export class BuiltNames {
  readonly #services = new Map<string, ServiceNames>()
  #count = 0

  get(key: string, build: () => ServiceNames): ServiceNames {
    const known = this.#services.get(key)
    if (known !== undefined) return known
    const names = build()
    this.#services.set(key, names)
    this.#count += weight(names)
    for (const oldest of this.#services.keys()) {
      if (this.#count <= namesMax || oldest === key) break
      this.drop(oldest)
    }
    return names
  }

  drop(key: string): void {
    const known = this.#services.get(key)
    if (known === undefined) return
    this.#services.delete(key)
    this.#count -= weight(known)
  }
}

function weight({ nodes }: ServiceNames): number {
  return nodes.size + 1
}
