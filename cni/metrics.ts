/** What the CNI part did and how it is, in Prometheus' text format 0.0.4. Counting costs nothing to speak of; everything else is read when asked for. */
import type { Reach } from './overlay/reach.ts'

/** Seconds: through the resident part an attachment takes some milliseconds, and more when the kernel is busy. */
const bucketBounds = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5] as const

interface Durations {
  readonly buckets: number[]
  sum: number
  count: number
}

export interface Call {
  readonly plugin: string
  /** `ADD`, `DEL`, … */
  readonly command: string
  /** Of the error object; 0 where there is none. */
  readonly code: number
  readonly seconds: number
}

/** How the overlay is now. */
export interface OverlayState {
  readonly backend: string
  /** MTU of pods. */
  readonly mtu: number
  readonly peers: number
  /** By pod range. */
  readonly reach: ReadonlyMap<string, Reach>
  readonly computesChecksums: boolean
  /** Whether the last look left nothing undone. */
  readonly inPlace: boolean
}

export interface RangeUse {
  readonly network: string
  readonly subnet: string
  readonly used: number
  readonly free: bigint
}

const plugins: ReadonlySet<string> = new Set(['fairway', 'fairway-ipam'])
const commands: ReadonlySet<string> = new Set(['ADD', 'DEL', 'CHECK', 'GC', 'STATUS', 'VERSION'])

export class CniMetrics {
  /** By `plugin|command|code`. */
  readonly #calls = new Map<string, number>()
  readonly #durations = new Map<string, Durations>()
  readonly #repairs = new Map<string, number>()
  #syncs = 0
  #failures = 0
  #overlay: OverlayState | undefined

  countCall({ plugin, command, code, seconds }: Call): void {
    // a caller's words would become labels without end
    const key = `${plugins.has(plugin) ? plugin : 'other'}|${commands.has(command) ? command : 'other'}`
    add(this.#calls, `${key}|${code}`)
    const durations = this.#durations.get(key) ?? { buckets: bucketBounds.map(() => 0), sum: 0, count: 0 }
    this.#durations.set(key, durations)
    for (const [index, bound] of bucketBounds.entries()) if (seconds <= bound) durations.buckets[index] = (durations.buckets[index] ?? 0) + 1
    durations.sum += seconds
    durations.count += 1
  }

  /** A look at the kernel, and what it led to. */
  countSync(failures: number): void {
    this.#syncs += 1
    this.#failures += failures
  }

  /** Something that was in place and had been changed by somebody else. */
  countRepair(operation: string): void {
    add(this.#repairs, operation)
  }

  set overlay(state: OverlayState) {
    this.#overlay = state
  }

  text(ranges: readonly RangeUse[]): string {
    const lines = [...this.#callLines(), ...this.#overlayLines(), ...rangeLines(ranges)]
    return `${lines.join('\n')}\n`
  }

  #callLines(): string[] {
    const calls = [...this.#calls].map(([key, count]) => {
      const [plugin = '', command = '', code = ''] = key.split('|')
      return `fairway_cni_operations_total${labels({ plugin, command, code })} ${count}`
    })
    const durations = [...this.#durations].flatMap(([key, { buckets, sum, count }]) => {
      const [plugin = '', command = ''] = key.split('|')
      const name = 'fairway_cni_operation_duration_seconds'
      return [
        ...buckets.map((value, index) => `${name}_bucket${labels({ plugin, command, le: String(bucketBounds[index]) })} ${value}`),
        `${name}_bucket${labels({ plugin, command, le: '+Inf' })} ${count}`,
        `${name}_sum${labels({ plugin, command })} ${sum}`,
        `${name}_count${labels({ plugin, command })} ${count}`,
      ]
    })
    return [
      ...head('fairway_cni_operations_total', 'counter', 'Calls of the plugins, by the code of the error; 0 is success.'), ...calls,
      ...head('fairway_cni_operation_duration_seconds', 'histogram', 'How long calls took within the resident part.'), ...durations,
    ]
  }

  #overlayLines(): string[] {
    const repairs = [...this.#repairs].map(([operation, count]) => `fairway_overlay_repairs_total${labels({ operation })} ${count}`)
    const lines = [
      ...head('fairway_overlay_syncs_total', 'counter', 'How often the kernel was looked at.'), `fairway_overlay_syncs_total ${this.#syncs}`,
      ...head('fairway_overlay_failures_total', 'counter', 'Operations that the kernel refused.'), `fairway_overlay_failures_total ${this.#failures}`,
      ...head('fairway_overlay_repairs_total', 'counter', 'What others had changed and was put right.'), ...repairs,
    ]
    if (this.#overlay === undefined) return lines
    const { backend, mtu, peers, reach, computesChecksums, inPlace } = this.#overlay
    const states = [...reach.values()]
    const counts = (['reachable', 'silent', 'datagrams lost'] as const).map((state) => `fairway_overlay_ranges${labels({ state })} ${states.filter((one) => one === state).length}`)
    return [
      ...lines,
      ...head('fairway_overlay_info', 'gauge', 'How hosts are joined.'), `fairway_overlay_info${labels({ backend })} 1`,
      ...head('fairway_overlay_mtu_bytes', 'gauge', 'MTU of pods.'), `fairway_overlay_mtu_bytes ${mtu}`,
      ...head('fairway_overlay_peers', 'gauge', 'Other hosts with pods.'), `fairway_overlay_peers ${peers}`,
      ...head('fairway_overlay_ranges', 'gauge', 'Pod ranges of peers, by what came back when they were last asked.'), ...counts,
      ...head('fairway_overlay_in_place', 'gauge', 'Whether all was as it should be after the last look.'), `fairway_overlay_in_place ${Number(inPlace)}`,
      ...head('fairway_overlay_computes_checksums', 'gauge', 'Whether the network below was found to corrupt checksums.'), `fairway_overlay_computes_checksums ${Number(computesChecksums)}`,
    ]
  }
}

function rangeLines(ranges: readonly RangeUse[]): string[] {
  const rows = ranges.flatMap(({ network, subnet, used, free }) => (
    [['used', String(used)], ['free', String(free)]] as const).map(([state, count]) => `fairway_cni_addresses${labels({ network, range: subnet, state })} ${count}`))
  return [...head('fairway_cni_addresses', 'gauge', 'Addresses of each range.'), ...rows]
}

function head(name: string, type: string, help: string): [string, string] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`]
}

function labels(values: Readonly<Record<string, string>>): string {
  return `{${Object.entries(values).map(([name, value]) => `${name}="${value.replace(/["\\\n]/g, (character) => (character === '\n' ? '\\n' : `\\${character}`))}"`).join(',')}}`
}

function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}
