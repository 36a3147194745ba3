/** Parts of which one in a cluster works: at once, or when the Lease is theirs. */
import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import type { Component } from '../api/component.ts'
import { startElected } from '../api/leader-election.ts'
import type { ElectionOptions } from '../api/leader-election.ts'

type Part = Pick<ElectionOptions, 'client' | 'clock' | 'random' | 'log'>

/** Starts a part; under an identity, when it is elected to by that. */
export async function elected<P extends Part>(name: string, identity: string | undefined, part: P, start: (part: P) => Component | Promise<Component>): Promise<Component> {
  return identity === undefined ? start(part) : startElected({ ...part, name, identity, start: async () => start(part) })
}

/** Of a process among others, on this machine too: as Kubernetes has it, another one after each start. */
export function processIdentity(): string {
  return `${hostname()}_${randomUUID()}`
}
