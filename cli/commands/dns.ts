import { randomInt } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { systemClock } from '../../api/clock.ts'
import { createLogger, silentLogger } from '../../api/log.ts'
import type { LogLevel } from '../../api/log.ts'
import { parseResolvConf, parseStub, parseUpstream, queryNames, searchDomains, startDns } from '../../dns/index.ts'
import type { DnsOptions } from '../../dns/index.ts'
import { typeNumber } from '../../dns/wire/index.ts'
import { clientFrom, runUntilSignal } from '../component.ts'
import { keepHeapSmall } from '../heap.ts'
import type { HostPort } from '../option-values.ts'

interface NamesFlags {
  readonly kubeconfig?: string
  readonly zone: string
  readonly pods: DnsOptions['pods']
  readonly upstream?: readonly string[]
  readonly resolvConf?: string
  readonly stub?: readonly string[]
  readonly autopath?: boolean
  readonly namespaces?: readonly string[]
  readonly labels?: string
  readonly namespaceLabels?: string
  readonly endpoints?: boolean
  readonly ignoreEmptyServices?: boolean
  readonly endpointPodNames?: boolean
  readonly ttl?: number
}

export interface DnsFlags extends NamesFlags {
  readonly wait?: boolean
  readonly listen?: readonly HostPort[]
  readonly tlsListen?: readonly HostPort[]
  readonly httpsListen?: readonly HostPort[]
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly handOver?: string
  readonly configMap?: string
  readonly health?: HostPort
  readonly snapshot?: string
  readonly rateLimit?: number
  readonly queryLog?: number
  readonly logLevel: LogLevel
}

const pollMs = 50

/** `fairway dns` */
export async function runDns(flags: DnsFlags): Promise<void> {
  const { listen = [], tlsListen, httpsListen, tlsCert, tlsKey, handOver, configMap, kubeconfig, health, snapshot, rateLimit = 0, queryLog = 0 } = flags
  if (kubeconfig === undefined || listen.length === 0) throw new Error('Cannot start the DNS server: --kubeconfig FILE and --listen ADDRESS:PORT are needed')
  if ((tlsListen ?? httpsListen) !== undefined && (tlsCert === undefined || tlsKey === undefined)) throw new Error('Cannot listen with TLS: --tls-cert FILE and --tls-key FILE are needed')
  const certificate = tlsCert === undefined || tlsKey === undefined ? undefined : { certFile: tlsCert, keyFile: tlsKey }
  keepHeapSmall()
  const log = createLogger({ level: flags.logLevel })
  const start = async (): ReturnType<typeof startDns> => {
    while (flags.wait === true && !existsSync(kubeconfig)) await systemClock.sleep(pollMs)
    return startDns({ ...namesOptions({ ...flags, kubeconfig }), log, listen, tlsListen, httpsListen, certificate, handOver, configMap, readFile: (path) => readFileSync(path, 'utf8'), health, snapshot, rateLimit, queryLogEvery: queryLog })
  }
  return runUntilSignal(start())
}

/** `fairway dns query` */
export async function runQuery(name: string, type: string, flags: NamesFlags & { readonly pod?: string }): Promise<void> {
  const { kubeconfig } = flags
  if (kubeconfig === undefined) throw new Error('Cannot look up a name: --kubeconfig FILE is needed')
  const number = typeNumber(type.toUpperCase())
  if (number === undefined) throw new Error(`Cannot look up ${name}: there is no type ${JSON.stringify(type)}`)
  const { answeredBy, text } = await queryNames({ ...namesOptions({ ...flags, kubeconfig }), serverAddresses: [], log: silentLogger }, { name, type: number, pod: flags.pod })
  process.stdout.write(text)
  process.exit(answeredBy === undefined ? 1 : 0)
}

function namesOptions({ kubeconfig, zone, pods, upstream, resolvConf, stub = [], ttl, autopath = false, ...more }: NamesFlags & { readonly kubeconfig: string }): Omit<DnsOptions, 'listen' | 'log' | 'health' | 'snapshot'> {
  const { namespaces = [], labels = '', namespaceLabels = '', endpoints = true, ignoreEmptyServices = false, endpointPodNames = false } = more
  const exposed = { namespaces, labels, namespaceLabels, endpoints, ignoreEmptyServices, endpointPodNames }
  const resolver = resolvConf === undefined ? '' : readFileSync(resolvConf, 'utf8')
  const upstreams = upstream?.map(parseUpstream) ?? parseResolvConf(resolver)
  return { client: clientFrom(kubeconfig), zone, pods, upstreams, exposed, autopath: autopath ? { hostDomains: searchDomains(resolver) } : undefined, stubs: stub.map(parseStub), ...(ttl === undefined ? {} : { ttlSeconds: ttl }), clock: systemClock, random: Math.random, randomInt: (max) => randomInt(max) }
}
