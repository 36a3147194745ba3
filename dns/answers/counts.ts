/** What is counted of questions and answers. Arrays of numbers: counting must cost nothing. */
import type { Transport } from './handler.ts'
import { Histogram, durationBounds } from './histogram.ts'

export const transports: readonly Transport[] = ['udp', 'tcp', 'tls', 'https']

/** Types up to this one are counted each, the others together. */
const countedTypeMax = 64
const rcodes = 32
/** Who may answer: handlers by their names, under those of CoreDNS's plugins. What comes ready from memory is the cluster's, or one of the names that never change. */
const pluginOf: Readonly<Record<string, string>> = { 'cluster zone': 'kubernetes', 'reverse zone': 'kubernetes', 'readiness': 'kubernetes', 'autopath': 'autopath', 'forward': 'forward', 'local names': 'local' }
const plugins = ['', 'kubernetes', 'autopath', 'forward', 'local'] as const
const renderedPlugin = 1

/** As CoreDNS has them. */
const sizeBounds = [0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16_000, 32_000, 48_000, 64_000]

/** Counters that only grow. */
export class ResponderCounts {
  queries = 0
  malformed = 0
  failed = 0
  limited = 0
  dnssecOk = 0
  readonly byHttpsStatus = new Map<number, number>()
  /** By transport, in the order of `transports`; seconds and bytes. */
  readonly durations = transports.map(() => new Histogram(durationBounds))
  readonly requestSizes = transports.map(() => new Histogram(sizeBounds))
  readonly responseSizes = transports.map(() => new Histogram(sizeBounds))
  readonly #byRcode = new Float64Array(rcodes * plugins.length)
  readonly #byType = new Float64Array(transports.length * 2 * (countedTypeMax + 1))

  asked(type: number, transport: Transport, isV6: boolean): void {
    const at = (indexOf(transport) * 2 + (isV6 ? 1 : 0)) * (countedTypeMax + 1) + Math.min(type, countedTypeMax)
    this.#byType[at] = (this.#byType[at] ?? 0) + 1
  }

  /** `handler` left out: nobody's in particular, such as a refusal. */
  answered(rcode: number, handler?: string): void {
    this.#answeredBy(rcode, Math.max(0, plugins.indexOf((handler === undefined ? '' : pluginOf[handler] ?? '') as (typeof plugins)[number])))
  }

  /** From memory. */
  answeredReady(rcode: number): void {
    this.#answeredBy(rcode, renderedPlugin)
  }

  answeredHttps(status: number): void {
    this.byHttpsStatus.set(status, (this.byHttpsStatus.get(status) ?? 0) + 1)
  }

  took(transport: Transport, seconds: number): void {
    this.durations[indexOf(transport)]?.observe(seconds)
  }

  sized(transport: Transport, requestBytes: number, responseBytes: number): void {
    const at = indexOf(transport)
    this.requestSizes[at]?.observe(requestBytes)
    this.responseSizes[at]?.observe(responseBytes)
  }

  /** What was asked so far. `type` is undefined for the rare ones. */
  * byType(): Generator<{ readonly transport: Transport; readonly isV6: boolean; readonly type: number | undefined; readonly count: number }> {
    for (const [index, count] of this.#byType.entries()) {
      const kind = Math.floor(index / (countedTypeMax + 1))
      const type = index % (countedTypeMax + 1)
      if (count > 0) yield { transport: transports[kind >> 1] ?? 'udp', isV6: (kind & 1) === 1, type: type === countedTypeMax ? undefined : type, count }
    }
  }

  * byRcode(): Generator<{ readonly rcode: number; readonly plugin: string; readonly count: number }> {
    for (const [index, count] of this.#byRcode.entries()) if (count > 0) yield { rcode: index % rcodes, plugin: plugins[Math.floor(index / rcodes)] ?? '', count }
  }

  #answeredBy(rcode: number, plugin: number): void {
    const at = plugin * rcodes + rcode
    this.#byRcode[at] = (this.#byRcode[at] ?? 0) + 1
  }
}

function indexOf(transport: Transport): number {
  return transport === 'udp' ? 0 : transports.indexOf(transport)
}
