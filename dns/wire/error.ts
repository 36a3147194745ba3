/** The one error of the codec: what it reads cannot be a DNS message, or what it is to write cannot become one. */
export class WireError extends Error {
  constructor(doing: string, why: string) {
    super(`Cannot ${doing}: ${why}`)
    this.name = 'WireError'
  }
}
