/**
 * Which services may have a name for an address: each cluster IP and endpoint address counts once for its service. Nearly every address has one
 * service, which then stands there without a list around it.
 */
import { addressBytes, addressText } from '../wire/index.ts'

export class AddressBook {
  readonly #services = new Map<string, string | readonly string[]>()

  /** The keys of the services, each once for every time it has the address. */
  at(address: string): readonly string[] {
    const known = this.#services.get(address)
    return known === undefined ? [] : typeof known === 'string' ? [known] : known
  }

  add(address: string, service: string): void {
    const text = written(address)
    if (text === undefined) return
    const known = this.at(text)
    this.#services.set(text, known.length === 0 ? service : [...known, service])
  }

  /** Takes back one `add`. */
  remove(address: string, service: string): void {
    const text = written(address)
    if (text === undefined) return
    const known = this.at(text)
    const rest = known.toSpliced(known.indexOf(service), known.includes(service) ? 1 : 0)
    const [first] = rest
    if (first === undefined) this.#services.delete(text)
    else this.#services.set(text, rest.length === 1 ? first : rest)
  }
}

/** The one form of an address; undefined for what is none, such as `None`. */
function written(address: string): string | undefined {
  const bytes = addressBytes(address)
  if (bytes === undefined) return undefined
  return bytes.length === 4 ? address : addressText(bytes)
}
