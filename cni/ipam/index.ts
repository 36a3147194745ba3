/** The IPAM plugin `fairway-ipam`: addresses from ranges on this host, with `host-local`'s configuration keys. */
import { readFileSync } from 'node:fs'
import { isAbsolute } from 'node:path'
import { canonicalAddress } from '../../netlink/addresses.ts'
import { defaultDataDir } from '../paths.ts'
import { invalidConfig, objectField } from '../protocol/config.ts'
import type { PluginConfig } from '../protocol/config.ts'
import type { AttachmentId, Invocation } from '../protocol/environment.ts'
import { CniError, errorCodes } from '../protocol/error.ts'
import { decodeRoutes } from '../protocol/result.ts'
import type { Dns, Result, ResultAddress, ResultRoute } from '../protocol/result.ts'
import type { Plugin } from '../protocol/run.ts'
import { attachmentKey } from './entry.ts'
import type { Entry, Holding } from './entry.ts'
import { Journal } from './journal.ts'
import type { Ledger } from './ledger.ts'
import { rangeOf } from './ledger.ts'
import { addressText, parseRangeSets, rangeText } from './ranges.ts'
import type { RangeSet } from './ranges.ts'

export const ipamType = 'fairway-ipam'

interface IpamConfig {
  readonly journal: Journal
  readonly sets: readonly RangeSet[]
  readonly routes: readonly ResultRoute[]
  /** Read for a result only: what was given is given back although the file is gone. */
  readonly dns: () => Dns
}

/** Journals stay open in memory, so that the resident part reads only what is new. */
export class Ipam implements Plugin {
  readonly #journals = new Map<string, Journal>()

  #journal(dataDir: string, network: string): Journal {
    const key = `${dataDir} ${network}`
    const journal = this.#journals.get(key) ?? new Journal(dataDir, network)
    this.#journals.set(key, journal)
    return journal
  }

  #parse({ name, ipam, runtimeConfig }: PluginConfig): IpamConfig {
    if (ipam === undefined) throw invalidConfig('ipam is missing')
    const dataDir = ipam['dataDir'] ?? defaultDataDir
    if (typeof dataDir !== 'string' || !isAbsolute(dataDir)) throw invalidConfig(`ipam.dataDir ${JSON.stringify(dataDir)} is not an absolute path`)
    const { resolvConf } = ipam
    return {
      journal: this.#journal(dataDir, name),
      sets: parseRangeSets(ipam, runtimeConfig['ipRanges']),
      routes: decodeRoutes(ipam, 'configuration: ipam'),
      dns: () => (typeof resolvConf === 'string' && resolvConf !== '' ? parseResolvConf(readFileSync(resolvConf, 'utf8')) : {}),
    }
  }

  async add(config: PluginConfig, invocation: Invocation): Promise<Result> {
    const { journal, sets, routes, dns: readDns } = this.#parse(config)
    const dns = readDns()
    const wanted = requestedAddresses(config, invocation)
    const holdings = await journal.update((ledger) => {
      const value = chooseAddresses(ledger, sets, invocation, wanted)
      const entries = value.filter(({ address }) => ledger.holder(address) === undefined).map((holding) => ({ kind: 'take', holding }) as const)
      return { entries, value }
    })
    return { interfaces: [], ips: holdings.map(({ address }) => describe(sets, address)), routes, dns }
  }

  async del(config: PluginConfig, invocation: Invocation): Promise<void> {
    await this.release(config, [invocation])
  }

  async check(config: PluginConfig, invocation: Invocation): Promise<void> {
    const { journal } = this.#parse(config)
    if (journal.read().heldBy(invocation).length === 0) throw new CniError('notAsLeft', `Cannot find an address of container ${invocation.containerId}, ${invocation.ifname}, in network ${config.name}`)
    await Promise.resolve()
  }

  async gc(config: PluginConfig, valid: readonly AttachmentId[]): Promise<void> {
    const { journal } = this.#parse(config)
    const keep = new Set(valid.map(attachmentKey))
    await this.release(config, journal.read().holdings().filter((holding) => !keep.has(attachmentKey(holding))))
  }

  /**
   * The configuration is sound and the journal can be read. Ranges that are used up are no reason to say no: a node that is not ready has its pods
   * evicted, those that run well included; the next ADD says what is wrong.
   */
  async status(config: PluginConfig): Promise<void> {
    try {
      const { journal, dns } = this.#parse(config)
      journal.read()
      journal.checkWritable()
      dns()
    } catch (error) {
      if (error instanceof CniError && error.code === errorCodes.invalidConfig) throw error
      throw new CniError('notAvailable', (error as Error).message)
    }
    await Promise.resolve()
  }

  /** Frees what these attachments hold. */
  async release(config: PluginConfig, attachments: readonly AttachmentId[]): Promise<void> {
    await this.#parse(config).journal.free((ledger) => free(attachments.flatMap((one) => ledger.heldBy(one))))
  }

  /** Who holds addresses of the network: what GC of the main plugin goes through. */
  attachments(config: PluginConfig): AttachmentId[] {
    const { journal } = this.#parse(config)
    return [...new Map(journal.read().holdings().map((holding) => [attachmentKey(holding), holding])).values()]
  }
}

function free(holdings: readonly Holding[]): Entry[] {
  return holdings.map(({ address }) => ({ kind: 'free', address }) as const)
}

/** One address of each set: what the attachment has already, what was asked for, or the next. */
function chooseAddresses(ledger: Ledger, sets: readonly RangeSet[], { containerId, ifname, args }: Invocation, wanted: readonly string[]): Holding[] {
  const stray = wanted.find((address) => sets.filter((set) => rangeOf(set, address) !== undefined).length !== 1)
  if (stray !== undefined) throw new CniError('noAddress', `Cannot give address ${stray}: it is in none of the ranges`)
  const held = ledger.heldBy({ containerId, ifname })
  return sets.map((set) => {
    const [asked, second] = wanted.filter((address) => rangeOf(set, address) !== undefined)
    if (second !== undefined) throw new CniError('noAddress', `Cannot give addresses ${asked} and ${second}: both are of one range set`)
    const present = held.find(({ address }) => rangeOf(set, address) !== undefined && (asked === undefined || address === asked))
    if (present !== undefined) return present
    if (asked !== undefined) refuseTaken(ledger, set, asked)
    const address = asked ?? ledger.next(set)
    if (address === undefined) throw new CniError('noAddress', `Cannot give an address: all of ${set.map(rangeText).join(', ')} are in use`)
    return { address, containerId, ifname, pod: args.pod }
  })
}

function refuseTaken(ledger: Ledger, set: RangeSet, address: string): void {
  const holder = ledger.holder(address)
  if (holder !== undefined) throw new CniError('noAddress', `Cannot give address ${address}: container ${holder.containerId} has it`)
  const range = rangeOf(set, address)
  if (range !== undefined && addressText(range.gateway, range.family) === address) throw new CniError('noAddress', `Cannot give address ${address}: it is the gateway's`)
}

/** From the capability `ips`, the conventional `args.cni.ips`, and CNI_ARGS. */
function requestedAddresses({ runtimeConfig, fields }: PluginConfig, { args }: Invocation): string[] {
  const conventional = objectField(objectField(fields, 'args') ?? {}, 'cni')?.['ips']
  const lists = [runtimeConfig['ips'] ?? [], conventional ?? [], args.ip === undefined ? [] : [args.ip]]
  if (!lists.every(Array.isArray)) throw invalidConfig('the requested ips are not a list')
  return [...new Set(lists.flat().map((value: unknown) => {
    try {
      return canonicalAddress(String(value).split('/')[0] ?? '')
    } catch (error) {
      throw invalidConfig(`requested address ${JSON.stringify(value)}: ${(error as Error).message}`)
    }
  }))]
}

function describe(sets: readonly RangeSet[], address: string): ResultAddress {
  const range = sets.flatMap((set) => rangeOf(set, address) ?? [])[0]
  if (range === undefined) return { address }
  return { address: `${address}/${range.prefixLength}`, gateway: addressText(range.gateway, range.family) }
}

function parseResolvConf(text: string): Dns {
  const lines = text.split('\n').map((line) => line.trim().split(/\s+/))
  const of = (keyword: string): string[] => lines.filter(([first]) => first === keyword).flatMap(([, ...rest]) => rest)
  return { nameservers: of('nameserver'), domain: of('domain')[0], search: of('search'), options: of('options') }
}

