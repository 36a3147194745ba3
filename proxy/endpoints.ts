/** Which endpoints of a service a node may use, from its EndpointSlices. Pure. */
import type { Endpoint, EndpointPort, EndpointSlice } from '../api/types.ts'
import { addressOf, familyOf } from './families.ts'
import type { Family } from './families.ts'

/** What endpoint choice needs to know of a node. */
export interface Place {
  readonly name: string
  readonly zone?: string | undefined
}

/** One address and port behind a service port, with what its slices say of it. */
export interface Candidate {
  readonly address: string
  readonly port: number
  readonly ready: boolean
  readonly serving: boolean
  readonly terminating: boolean
  /** On this node. */
  readonly local: boolean
  /** No node is named: it may be anywhere. */
  readonly placeless: boolean
  readonly zones: readonly string[] | undefined
  readonly nodes: readonly string[] | undefined
}

/** The endpoints that traffic is spread over. */
export interface Choice {
  readonly endpoints: readonly Candidate[]
  /** Why these: for `explain`. */
  readonly reason: 'ready' | 'same node' | 'same zone' | 'terminating' | 'none'
}

/** `10.244.0.5 8080`, as elements are keyed. */
export function endpointKey({ address, port }: Pick<Candidate, 'address' | 'port'>): string {
  return `${address} ${port}`
}

/** Which port of a service is looked for in the slices. */
export interface WantedPort {
  readonly name: string
  readonly protocol: 'TCP' | 'UDP' | 'SCTP'
}

/** All endpoints of a service port in one family, each once, in the order of their keys. What is malformed is left out and told. */
export function candidatesOf(slices: readonly EndpointSlice[], port: WantedPort, family: Family, { place, onProblem }: { readonly place: Place; readonly onProblem: (problem: string) => void }): Candidate[] {
  const found = new Map<string, Candidate>()
  for (const slice of slices) {
    if (slice.addressType !== family.name) continue
    for (const slicePort of slice.ports ?? []) {
      if ((slicePort.name ?? '') !== port.name || (slicePort.protocol ?? 'TCP') !== port.protocol) continue
      for (const endpoint of slice.endpoints ?? []) {
        const candidate = candidateOf(endpoint, slicePort, family, place)
        if (typeof candidate === 'string') {
          onProblem(`slice ${slice.metadata.name ?? ''}: ${candidate}`)
          continue
        }
        const key = endpointKey(candidate)
        const present = found.get(key)
        if (present === undefined || rank(candidate) > rank(present)) found.set(key, candidate)
      }
    }
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, candidate]) => candidate)
}

/** Of the same endpoint in two slices (it is being moved) the better word counts. */
function rank({ ready, serving, local }: Candidate): number {
  return (ready ? 4 : 0) + (serving ? 2 : 0) + (local ? 1 : 0)
}

function candidateOf(endpoint: Endpoint, { port }: EndpointPort, family: Family, place: Place): Candidate | string {
  // More than one address has no meaning that consumers agree on (discovery/v1): the first is the endpoint's.
  const text = endpoint.addresses?.[0]
  const address = addressOf(text)
  if (address === undefined || familyOf(address) !== family) return `${JSON.stringify(text ?? '')} is no ${family.name} address`
  if (port === undefined || !isPort(port)) return `${String(port)} is no port`
  const { nodeName, hints } = endpoint
  // JSON's null is the same as nothing.
  const conditions = endpoint.conditions ?? {}
  const ready = conditions.ready ?? true
  const terminating = conditions.terminating ?? false
  return {
    address, port, ready, terminating,
    serving: conditions.serving ?? ready,
    local: nodeName !== undefined && nodeName === place.name,
    placeless: nodeName === undefined,
    zones: hints?.forZones?.map(({ name }) => name),
    nodes: hints?.forNodes?.map(({ name }) => name),
  }
}

export function isPort(port: number): boolean {
  return Number.isInteger(port) && port > 0 && port < 65536
}

/**
 * The endpoints for traffic that may go anywhere: the ready ones, nearer ones only where hints say so for all of them; without any
 * ready one those that terminate and still serve (KEP-1669).
 */
export function chooseAnywhere(candidates: readonly Candidate[], place: Place): Choice {
  const ready = candidates.filter((candidate) => candidate.ready)
  if (ready.length === 0) return chooseTerminating(candidates)
  const onNode = hinted(ready, ({ nodes }) => nodes, place.name)
  if (onNode !== undefined) return { endpoints: onNode, reason: 'same node' }
  const inZone = hinted(ready, ({ zones }) => zones, place.zone)
  if (inZone !== undefined) return { endpoints: inZone, reason: 'same zone' }
  return { endpoints: ready, reason: 'ready' }
}

/** The endpoints for traffic that must stay on the node. */
export function chooseLocal(candidates: readonly Candidate[]): Choice {
  const local = candidates.filter((candidate) => candidate.local)
  const ready = local.filter((candidate) => candidate.ready)
  return ready.length > 0 ? { endpoints: ready, reason: 'ready' } : chooseTerminating(local)
}

function chooseTerminating(candidates: readonly Candidate[]): Choice {
  const endpoints = candidates.filter(({ serving, terminating }) => serving && terminating)
  return { endpoints, reason: endpoints.length > 0 ? 'terminating' : 'none' }
}

/** Hints count only when every ready endpoint has them and one is for us: else some would be left without traffic (KEP-2433). */
function hinted(ready: readonly Candidate[], hintsOf: (candidate: Candidate) => readonly string[] | undefined, wanted: string | undefined): readonly Candidate[] | undefined {
  if (wanted === undefined || ready.some((candidate) => (hintsOf(candidate) ?? []).length === 0)) return undefined
  const chosen = ready.filter((candidate) => hintsOf(candidate)?.includes(wanted))
  return chosen.length > 0 ? chosen : undefined
}
