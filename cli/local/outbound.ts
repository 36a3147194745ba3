/**
 * The way out of a local cluster, for those who ask for it: this machine forwards for the hosts, and their packets leave with its own address.
 *
 *   table ip fairwayN { chain postrouting { type nat hook postrouting priority srcnat; ip saddr 10.90.N.0/24 oifname != "fairwayN" masquerade } }
 *
 * Forwarding is turned on link by link, and off again by the last cluster that wanted it, for those links on which it was off before. What was found
 * is on disk before anything is changed, so that `down` mends it also after `up` was killed.
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { isNotFound } from '../../netlink/errors.ts'
import { differs, equal, masquerade, openNftables, priorities } from '../../netlink/nftables/index.ts'
import { RouteSocket } from '../../netlink/route/index.ts'
import { readSysctl, writeSysctl } from '../../netlink/sysctl.ts'
import { clusterNames } from './config.ts'
import type { ClusterConfigFile } from './config.ts'
import { takeLock } from './lock.ts'
import { machineLink } from './network.ts'
import { clusterPaths } from './paths.ts'

const forwardingOf = (link: string): string => `ipv4/conf/${link}/forwarding`

/** Opens the way out. May be called again. */
export async function openOutbound(config: ClusterConfigFile): Promise<void> {
  await using _lock = await takeLock('outbound')
  const own = machineLink(config)
  const others = linksOfOthers(config.name)
  const uplinks = linksOut()
  const found = uplinks.filter((link) => others.has(link) || readSysctl(forwardingOf(link)) === '0')
  record(config.name, { subnet: config.subnet, links: found })
  for (const link of [...uplinks, own]) writeSysctl(forwardingOf(link), 1)
  using nftables = openNftables()
  const table = { family: 'ip', name: own } as const
  nftables.apply([
    { kind: 'addTable', table },
    { kind: 'deleteTable', table },
    { kind: 'addTable', table },
    { kind: 'addChain', table, chain: { name: 'postrouting', base: { type: 'nat', hook: 'postrouting', priority: priorities.srcnat, policy: 'accept' } } },
    { kind: 'addRule', table, chain: 'postrouting', rule: { statements: [equal('ip saddr', `10.90.${config.subnet}.0/24`), differs('meta oifname', own), masquerade()] } },
  ])
}

/** Closes it; nothing happens where it was never opened. */
export async function closeOutbound(cluster: string): Promise<void> {
  const found = recorded(cluster)
  if (found === undefined) return
  await using _lock = await takeLock('outbound')
  using nftables = openNftables()
  const table = { family: 'ip', name: machineLink(found) } as const
  nftables.apply([{ kind: 'addTable', table }, { kind: 'deleteTable', table }])
  const others = linksOfOthers(cluster)
  for (const link of found.links.filter((name) => !others.has(name))) {
    try {
      writeSysctl(forwardingOf(link), 0)
    } catch (error) {
      if (!isNotFound(error)) throw error // the link has gone
    }
  }
}

/** Links that default routes lead to: where packets for the rest of the world go. */
function linksOut(): string[] {
  using route = RouteSocket.open()
  const indexes = new Set(route.routes.list({ family: 'ipv4', table: 254 }).filter(({ destination }) => destination === '0.0.0.0/0').map(({ link }) => link))
  return route.links.list().filter(({ index }) => indexes.has(index)).map(({ name }) => name)
}

/** What was found before the way out was opened. */
interface Found {
  readonly subnet: number
  /** Links that did not forward. */
  readonly links: readonly string[]
}

function recordOf(cluster: string): string {
  return `${clusterPaths(cluster).root}/outbound.json`
}

function record(cluster: string, found: Found): void {
  const file = recordOf(cluster)
  // A second time the links are as we made them: what was found first stays.
  if (existsSync(file)) return
  writeFileSync(`${file}.new`, JSON.stringify(found))
  renameSync(`${file}.new`, file)
}

function recorded(cluster: string): Found | undefined {
  if (!existsSync(recordOf(cluster))) return undefined
  try {
    const { subnet, links } = JSON.parse(readFileSync(recordOf(cluster), 'utf8')) as { subnet?: unknown; links?: unknown }
    if (!Number.isInteger(subnet) || !Array.isArray(links)) return undefined
    return { subnet: subnet as number, links: links.filter((link) => typeof link === 'string' && /^[^/\s]{1,15}$/.test(link)) }
  } catch {
    return undefined // what cannot be read cannot be mended, and must not keep `down` from the rest
  }
}

function linksOfOthers(cluster: string): ReadonlySet<string> {
  return new Set(clusterNames().filter((other) => other !== cluster).flatMap((other) => recorded(other)?.links ?? []))
}
