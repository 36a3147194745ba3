/**
 * Questions of our own that come back: a server elsewhere that forwards to us, directly or through others, would otherwise keep one question going for ever. They are known
 * by the marks that they carry (an EDNS option; each Fairway server on the way adds its own), by their spelling where the option got lost, and by their very name when they were
 * asked to find out. What the way leaves of them does not matter, as long as it is one of the three.
 */
const markBytes = 8
/** More Fairway servers than this between an asker and an answer are taken for a loop. */
const marksMax = 16
/** Spellings are a proof when nobody hits one by chance: one in 65,536. */
const lettersMin = 16

export class Loops {
  readonly #mark: Buffer
  /** How many questions are under way in this spelling. */
  readonly #spelled = new Map<string, number>()
  /** Names that nobody else asks for, and whether they came back. */
  readonly #probes = new Map<string, boolean>()
  /** Questions that came back. */
  found = 0

  constructor(randomInt: (max: number) => number) {
    this.#mark = Buffer.from(Array.from({ length: markBytes }, () => randomInt(256)))
  }

  begin(name: string): void {
    this.#spelled.set(name, (this.#spelled.get(name) ?? 0) + 1)
  }

  end(name: string): void {
    const others = (this.#spelled.get(name) ?? 1) - 1
    if (others > 0) this.#spelled.set(name, others)
    else this.#spelled.delete(name)
  }

  /** Watches for a name (canonical) until `ended` is called, which says whether it came. */
  probe(name: string): { ended(): boolean } {
    this.#probes.set(name, false)
    return {
      ended: () => {
        const came = this.#probes.get(name) ?? false
        this.#probes.delete(name)
        return came
      },
    }
  }

  /** Whether a question that comes in is one that went out from here. */
  isOurs({ name, spelling, trail = new Uint8Array() }: { readonly name: string; readonly spelling: string; readonly trail?: Uint8Array | undefined }): boolean {
    const isProbe = this.#probes.has(name)
    if (isProbe) this.#probes.set(name, true)
    const isOurs = isProbe || this.#hasMark(trail) || (this.#spelled.has(spelling) && spelling.replace(/[^a-z]/gi, '').length >= lettersMin)
    if (isOurs) this.found += 1
    return isOurs
  }

  /** What a question carries on its way from here. */
  onward(trail: Uint8Array = new Uint8Array()): Uint8Array {
    return Buffer.concat([trail, this.#mark])
  }

  #hasMark(trail: Uint8Array): boolean {
    if (trail.length >= markBytes * marksMax) return true
    for (let at = 0; at + markBytes <= trail.length; at += markBytes) if (this.#mark.equals(trail.subarray(at, at + markBytes))) return true
    return false
  }
}
