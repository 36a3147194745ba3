/** What a rendered answer rests on. Whoever changes that sets `live` to false, and the answer is rendered anew when asked for next. */
export class Validity {
  live = true

  end(): void {
    this.live = false
  }
}
