/** What a user reads of an error: its message in one line, without the stack. */
export function sentenceOf(error: unknown): string {
  // What stands for several: the first says most.
  if (error instanceof AggregateError && error.message === '' && error.errors.length > 0) return sentenceOf(error.errors[0])
  const text = error instanceof Error ? (error.message === '' ? error.name : error.message) : String(error)
  return text.trim().replace(/\s*\n\s*/g, ' ')
}
