/** The last link of the chain: names that are not the cluster's go to the servers of the zone that they are most closely in. */
import type { Handler, Query, Reply } from '../answers/handler.ts'
import { canonical, isWithin } from '../wire/index.ts'
import type { Upstream } from './upstream.ts'
import type { Forwarder } from './forwarder.ts'
import { parseUpstream } from './resolv-conf.ts'

/** A zone with servers of its own; `.` is all that no other zone has. */
export interface StubZone {
  readonly zone: string
  readonly upstreams: readonly Upstream[]
}

/** `corp.example=10.0.0.1,10.0.0.2:5353`. Throws a sentence for anything else. */
export function parseStub(text: string): StubZone {
  const [, zone = '', servers = ''] = /^([^=]+)=(.+)$/.exec(text) ?? []
  if (zone === '' || !/^[a-z0-9_.-]+$/i.test(zone)) throw new Error(`Cannot use stub zone ${JSON.stringify(text)}: write it as ZONE=ADDRESS[:PORT],…, such as corp.example=10.0.0.1`)
  return { zone: canonical(zone), upstreams: servers.split(',').map(parseUpstream) }
}

export class Outside implements Handler {
  readonly name = 'forward'
  /** The longest zone first. */
  readonly forwarders: readonly { readonly zone: string; readonly forwarder: Forwarder }[]

  constructor({ zones, forwarder }: { readonly zones: readonly StubZone[]; readonly forwarder: (zone: StubZone) => Forwarder }) {
    this.forwarders = zones.toSorted((a, b) => b.zone.length - a.zone.length).map(({ zone, upstreams }) => ({ zone: canonical(zone), forwarder: forwarder({ zone: canonical(zone), upstreams }) }))
  }

  /** To be called once answers are given here: looks for servers that lead back. */
  start(): void {
    for (const { forwarder } of this.forwarders) forwarder.start()
  }

  stop(): void {
    for (const { forwarder } of this.forwarders) forwarder.stop()
  }

  /** Whether there is somebody to ask for a name (canonical). */
  takes(name: string): boolean {
    return this.forwarders.some(({ zone }) => isWithin(name, zone))
  }

  handle(query: Query): Reply | Promise<Reply> | undefined {
    return this.forwarders.find(({ zone }) => isWithin(query.name, zone))?.forwarder.handle(query)
  }
}
