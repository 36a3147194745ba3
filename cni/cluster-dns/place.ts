/** Where pods of this host have their names answered: by the server on this host, or, while that is down, by the one of another. Pure. */

/** What was seen since the last decision. */
export interface Seen {
  /** Whether a program on this host listens on the address. */
  readonly isListening: boolean
  /** Whether the server that is asked now answered; undefined: not asked. */
  readonly answers: boolean | undefined
  /** Other hosts, those to be tried first in front. */
  readonly peers: readonly string[]
  readonly nowMs: number
}

export type Place = Here | Away

export interface Here {
  readonly kind: 'here'
  /** So often in a row nobody listened, or what listened did not answer. */
  readonly missing: number
  readonly silent: number
  /** How long to stay away the next time, at least. */
  readonly stayMs: number
  readonly sinceMs: number
}

export interface Away {
  readonly kind: 'away'
  readonly peer: string
  readonly silent: number
  readonly stayMs: number
  readonly sinceMs: number
}

/** One that is started again within a second is waited for. */
const missingMax = 2
/** A program that listens may be busy for a moment; a packet may be lost. */
const silentMax = 3
const stayMsMin = 2000
const stayMsMax = 60_000

export function atHome(nowMs: number): Here {
  return { kind: 'here', missing: 0, silent: 0, stayMs: stayMsMin, sinceMs: nowMs }
}

export function decide(place: Place, seen: Seen): Place {
  return place.kind === 'here' ? decideHere(place, seen) : decideAway(place, seen)
}

function decideHere(place: Here, { isListening, answers, peers, nowMs }: Seen): Place {
  const missing = isListening ? 0 : place.missing + 1
  const silent = !isListening || answers === true ? 0 : answers === false ? place.silent + 1 : place.silent
  const [peer] = peers
  if (peer !== undefined && (missing >= missingMax || silent >= silentMax)) return { kind: 'away', peer, silent: 0, stayMs: place.stayMs, sinceMs: nowMs }
  // Whoever has been well for long enough is trusted again.
  const stayMs = nowMs - place.sinceMs >= stayMsMax ? stayMsMin : place.stayMs
  return { ...place, missing, silent, stayMs }
}

/** Home is tried as soon as somebody listens there, and again later each time that it did not answer after all. */
function decideAway(place: Away, { isListening, answers, peers, nowMs }: Seen): Place {
  if (peers.length === 0 || (isListening && nowMs - place.sinceMs >= place.stayMs)) return { kind: 'here', missing: 0, silent: 0, stayMs: Math.min(stayMsMax, place.stayMs * 2), sinceMs: nowMs }
  const silent = answers === true ? 0 : answers === false ? place.silent + 1 : place.silent
  if (peers.includes(place.peer) && silent < silentMax) return { ...place, silent }
  return { ...place, peer: peers[(peers.indexOf(place.peer) + 1) % peers.length] ?? place.peer, silent: 0 }
}
