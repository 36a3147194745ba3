/** Addresses of the services that `proxy-sync` makes. */

export function clusterIP(at: number): string {
  return `10.${96 + (at >> 16)}.${(at >> 8) & 255}.${at & 255}`
}

/** Another `turn`, other addresses. */
export function endpointsOf(at: number, { endpoints, turn = 0 }: { readonly endpoints: number; readonly turn?: number }): string[] {
  const numbers = Array.from({ length: endpoints }, (_, which) => ((at + turn) * endpoints + which) & 0x1f_ffff)
  return numbers.map((number) => `10.${128 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`)
}
