// How long ago something was, as `kubectl get` shows it (k8s.io/apimachinery/pkg/util/duration: HumanDuration).

/** `45s`, `2m5s`, `3h`, `5d2h`, `2y31d`. */
export function humanDuration(ms: number): string {
  const seconds = Math.trunc(ms / 1000)
  // Clocks of two machines are never quite the same.
  if (seconds < -1) return '<invalid>'
  if (seconds < 0) return '0s'
  if (seconds < 120) return `${seconds}s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 10) return two(minutes, 'm', seconds % 60, 's')
  if (minutes < 180) return `${minutes}m`
  const hours = Math.floor(minutes / 60)
  if (hours < 8) return two(hours, 'h', minutes % 60, 'm')
  const days = Math.floor(hours / 24)
  if (hours < 48) return `${hours}h`
  if (days < 8) return two(days, 'd', hours % 24, 'h')
  if (days < 730) return `${days}d`
  const years = Math.floor(days / 365)
  return years < 8 ? two(years, 'y', days % 365, 'd') : `${years}y`
}

function two(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large}${largeUnit}` : `${large}${largeUnit}${small}${smallUnit}`
}

/** How long a moment is past. */
export function ageOf(time: string | null | undefined, now: number): string {
  const ms = Date.parse(time ?? '')
  return Number.isNaN(ms) ? '<unknown>' : humanDuration(now - ms)
}
