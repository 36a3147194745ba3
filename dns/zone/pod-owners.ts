/**
 * Which pod an address is of, by the pods' uids: an address that goes from one pod to another is nobody's as long as the API server names both, and
 * an ended or ending pod's from the moment that it says so.
 */
import type { Pod } from '../../api/types.ts'
import { addressBytes } from '../wire/index.ts'

export interface Owner {
  readonly uid: string
  readonly namespace: string
}

interface Claim extends Owner {
  /** Whether its resolver searches the cluster's domains and then those of its host, and no others. */
  readonly searchesAsUsual: boolean
}

export class PodOwners {
  /** By address, as a string of bytes; by uid. */
  readonly #claims = new Map<string, Map<string, Claim>>()

  setPod(old: Pod | undefined, next: Pod | undefined): void {
    const uid = old?.metadata.uid ?? ''
    for (const address of addressesOf(old)) {
      const claims = this.#claims.get(address)
      claims?.delete(uid)
      if (claims?.size === 0) this.#claims.delete(address)
    }
    const claim = claimOf(next)
    if (claim === undefined) return
    for (const address of addressesOf(next)) this.#claims.set(address, (this.#claims.get(address) ?? new Map<string, Claim>()).set(claim.uid, claim))
  }

  /** The pod that has an address, if it is one, and looks for names as pods usually do. */
  ownerOf(client: Uint8Array): Owner | undefined {
    const claims = this.#claims.get(keyOf(client))
    if (claims?.size !== 1) return undefined
    const [claim] = claims.values()
    return claim?.searchesAsUsual === true ? claim : undefined
  }
}

function claimOf(pod: Pod | undefined): Claim | undefined {
  const { uid, namespace, deletionTimestamp } = pod?.metadata ?? {}
  const { hostNetwork, dnsPolicy = 'ClusterFirst', dnsConfig } = pod?.spec ?? {}
  const { phase } = pod?.status ?? {}
  if (uid === undefined || namespace === undefined || hostNetwork === true || phase === 'Succeeded' || phase === 'Failed') return undefined
  return { uid, namespace, searchesAsUsual: deletionTimestamp === undefined && dnsPolicy === 'ClusterFirst' && (dnsConfig?.searches?.length ?? 0) === 0 }
}

function addressesOf(pod: Pod | undefined): string[] {
  const { podIP, podIPs } = pod?.status ?? {}
  return (podIPs?.map(({ ip }) => ip) ?? (podIP === undefined ? [] : [podIP])).flatMap((ip) => {
    const bytes = addressBytes(ip)
    return bytes === undefined ? [] : [keyOf(bytes)]
  })
}

function keyOf(address: Uint8Array): string {
  return Buffer.from(address.buffer, address.byteOffset, address.length).toString('latin1')
}
