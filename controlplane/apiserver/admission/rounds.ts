// Those who may change an object are asked in turn, and once more if they want to see what others changed after them
// (k8s.io/apiserver/pkg/admission, reinvocation).

export class Rounds {
  #number = 0
  #isChanged = false
  #asked: string[] = []
  readonly #again = new Set<string>()

  get number(): number {
    return this.#number
  }

  /** Whether somebody who was asked has changed the object. */
  get isChanged(): boolean {
    return this.#isChanged
  }

  /** Whether one is to be asked in this round. */
  wants(id: string): boolean {
    return this.#number === 0 || this.#again.has(id)
  }

  /** Somebody has been asked, and wants to be again if the object changes. */
  asked(id: string): void {
    this.#asked.push(id)
  }

  /** The object has changed: those asked before have not seen it so. */
  changed(isByAsked: boolean): void {
    if (isByAsked) this.#isChanged = true
    if (this.#number > 0) return
    for (const id of this.#asked) this.#again.add(id)
    this.#asked = []
  }

  next(): void {
    this.#number++
  }
}
