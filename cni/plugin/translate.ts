/** Puts attachments into the tables of `translation.ts` and takes them out again, each in one transaction; forgets the connections of ports that went. */
import { deleteConntrack, Conntrack } from '../../netlink/conntrack.ts'
import type { ConntrackFilter } from '../../netlink/conntrack.ts'
import { isExists, isNotFound } from '../../netlink/errors.ts'
import { isStale } from '../../netlink/nftables/index.ts'
import type { Element, Nftables, Operation, TableId } from '../../netlink/nftables/index.ts'
import type { RouteSocket } from '../../netlink/route/index.ts'
import { readSysctl } from '../../netlink/sysctl.ts'
import { CniError } from '../protocol/error.ts'
import { claimsPort, makeTranslationTable, ownerLink, translationElements, translationFamilies, translationSets, translationTable } from './translation.ts'
import type { OwnedElement, Translation } from './translation.ts'
import type { Family } from './want.ts'

/** How often others may come between. */
const attemptsMax = 100

/** Adds the elements of an attachment. A port that another attachment has is refused, unless that has no link any more. */
export function addTranslation(nftables: Nftables, host: RouteSocket, translation: Translation, comment: string): void {
  for (const family of translationFamilies) {
    const wanted = translationElements(family, translation, comment)
    if (wanted.length > 0) transact(nftables, family, () => planAdd(nftables, host, family, wanted))
  }
}

function planAdd(nftables: Nftables, host: RouteSocket, family: Family, wanted: readonly OwnedElement[]): Operation[] {
  const table = translationTable(family)
  return wanted.flatMap((one) => {
    const { set, element } = one
    const [there] = 'interval' in set ? [] : nftables.find(table, set, [element.key])
    const add = { kind: 'addElements', table, set, elements: [element] } as const
    if (there === undefined) return [add]
    if (claimsPort(one) && there.comment !== element.comment && host.links.get(ownerLink(there.comment)) !== undefined) {
      throw new CniError('portInUse', `Cannot lead ${element.key.join(' ')} of the host to the container: ${there.data === undefined ? 'another container' : String(Array.isArray(there.data) ? there.data[0] : '')} has it`)
    }
    return [{ kind: 'deleteElements', table, set, elements: [{ key: element.key }] } as const, add]
  })
}

/** Removes what of these elements is there and is this attachment's. */
export function removeTranslation(nftables: Nftables, translation: Translation, comment: string): void {
  for (const family of translationFamilies) {
    const elements = translationElements(family, translation, comment)
    if (elements.length > 0) transact(nftables, family, () => planRemove(nftables, family, elements))
  }
}

function planRemove(nftables: Nftables, family: Family, elements: readonly OwnedElement[]): Operation[] {
  const table = translationTable(family)
  const keyed = elements.filter(({ set }) => !('interval' in set))
  const own = keyed.filter(({ set, element }) => nftables.find(table, set, [element.key])[0]?.comment === element.comment)
  // elements of intervals cannot be found by key: where that of the address is ours, so is that
  const pods = own.some(({ set }) => set.name === translationSets[family].masquerade.name)
  const removed = [...own, ...(pods ? elements.filter(({ set }) => 'interval' in set) : [])]
  return removed.map(({ set, element }) => ({ kind: 'deleteElements', table, set, elements: [{ key: element.key }] } as const))
}

/** Removes all elements of one network whose owners do not stay: for GC, and where the record of an attachment is lost. Reads the whole tables. */
export function sweepTranslations(nftables: Nftables, stays: (comment: string) => boolean): void {
  for (const family of translationFamilies) {
    const table = translationTable(family)
    transact(nftables, family, () => planSweep(nftables, table, family, stays))
  }
}

function planSweep(nftables: Nftables, table: TableId, family: Family, stays: (comment: string) => boolean): Operation[] {
  const ruleset = nftables.list(table)
  if (ruleset === undefined) return []
  return Object.values(translationSets[family]).flatMap((set) => {
    const stale = (ruleset.sets.get(set.name)?.elements ?? []).filter(({ comment }) => comment !== undefined && !stays(comment)).map(({ key }: Element) => ({ key }))
    return stale.length === 0 ? [] : [{ kind: 'deleteElements', table, set, elements: stale } as const]
  })
}

/** The elements of an attachment that are missing, as text. */
export function missingTranslation(nftables: Nftables, translation: Translation, comment: string): string[] {
  return translationFamilies.flatMap((family) =>
    translationElements(family, translation, comment)
      .filter(({ set }) => !('interval' in set))
      .filter(({ set, element }) => nftables.find(translationTable(family), set, [element.key])[0]?.comment !== comment)
      .map(({ set, element }) => `${set.name} ${element.key.join(' ')} of table ${translationTable(family).name}`))
}

/** Applies what `decide` sees fit in the present generation; makes the table where it is missing. */
function transact(nftables: Nftables, family: Family, decide: () => Operation[]): void {
  for (let attempt = 1; ; attempt++) {
    const generation = nftables.generation()
    const operations = decide()
    if (operations.length === 0) return
    try {
      nftables.apply(operations, { generation })
      return
    } catch (error) {
      if (attempt === attemptsMax) throw error
      if (isNotFound(error)) makeTable(nftables, family, error)
      else if (!isStale(error)) throw error
    }
  }
}

function makeTable(nftables: Nftables, family: Family, cause: unknown): void {
  try {
    nftables.apply(makeTranslationTable(family))
  } catch (error) {
    if (!isExists(error)) throw error
    // another process was faster, or the table is there and is not ours
    const { sets } = nftables.list(translationTable(family)) ?? { sets: new Map() }
    if (!Object.values(translationSets[family]).every(({ name }) => sets.has(name))) throw cause
  }
}

/** Datagrams that came before the port was there have left entries that lead elsewhere. */
export function forgetEarlierDatagrams(host: RouteSocket, translation: Translation): void {
  const filters = filtersOf(host, translation).filter(({ protocol }) => protocol === 'udp').map(({ protocol, originalDestination }) => ({ protocol, originalDestination }))
  if (filters.length > 0 && isTracking()) deleteConntrack(filters)
}

/** Connections through the ports of an attachment, and no others. */
export async function forgetConnections(host: RouteSocket, translation: Translation): Promise<void> {
  const filters = filtersOf(host, translation)
  if (filters.length === 0 || !isTracking()) return
  using conntrack = Conntrack.open()
  await conntrack.deleteMatchingInThread(filters)
}

/** The kernel walks its whole table for a list: not for nothing. */
function isTracking(): boolean {
  try {
    return readSysctl('netfilter/nf_conntrack_count') !== '0'
  } catch (error) {
    if (isNotFound(error)) return false
    throw error
  }
}

function filtersOf(host: RouteSocket, { addresses, mappings }: Translation): ConntrackFilter[] {
  if (mappings.length === 0) return []
  const local = host.addresses.list()
  return addresses.flatMap(({ family, address }) =>
    mappings.filter(({ families }) => families.includes(family)).flatMap(({ protocol, hostPort, containerPort, hostIP }) =>
      (hostIP === undefined ? local.filter((one) => one.family === family).map((one) => one.address) : [hostIP])
        .map((destination) => ({ protocol, originalDestination: { address: destination, port: hostPort }, replySource: { address, port: containerPort } }))))
}
