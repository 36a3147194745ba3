/** A time of the API (RFC 3339, whole seconds). */
export function timestamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`
}
