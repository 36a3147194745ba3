// The API server: a store, a cache before it, and the handler that answers over TLS and inside the process.
import { networkInterfaces } from 'node:os'
import { isIP } from 'node:net'
import { randomInt } from 'node:crypto'
import { Address4, Address6 } from 'ip-address'
import type { Clock, Random } from '../../api/clock.ts'
import type { Component } from '../../api/component.ts'
import { renderKubeconfig } from '../../api/kubeconfig.ts'
import type { Logger } from '../../api/log.ts'
import type { Transport } from '../../api/transport.ts'
import type { Store } from '../store/index.ts'
import { createAdmission } from './admission/index.ts'
import type { WriteQuota } from './admission/quota.ts'
import { Aggregation } from './aggregation/index.ts'
import { AuditLog } from './audit/index.ts'
import type { AuditOptions } from './audit/index.ts'
import { Authenticator } from './authentication/index.ts'
import { lettersFrom, newBootstrapToken, tokenOf } from './authentication/bootstrap-tokens.ts'
import { ServiceAccountTokens } from './authentication/service-account-tokens.ts'
import { Authorizer } from './authorization/rbac.ts'
import { startCertificateSigning } from './bootstrap/certificate-signing.ts'
import { keepKubernetesEndpoints } from './bootstrap/kubernetes-endpoints.ts'
import { ensureBootstrapObjects, serverUser } from './bootstrap/objects.ts'
import { startFlowSchemas } from './bootstrap/flow-schemas.ts'
import { startRoleAggregation } from './bootstrap/role-aggregation.ts'
import { startServiceAddresses } from './bootstrap/service-addresses.ts'
import { WatchCache } from './cache/index.ts'
import { startCustomResources } from './custom/serving.ts'
import type { UserInfo } from './descriptor.ts'
import { KubeletAccess } from './kubelet-access.ts'
import { Outbound } from './outbound.ts'
import { yearMs } from './pki/authority.ts'
import { openCredentials } from './pki/credentials.ts'
import type { Credentials } from './pki/credentials.ts'
import { Reader } from './read.ts'
import { Registry } from './registry.ts'
import { builtinResources } from './resources/index.ts'
import type { Serving } from './routes/call.ts'
import { createHandler } from './routes/handler.ts'
import { SharedStore } from './routes/shared-store.ts'
import { startHttpsServer } from './server/https-server.ts'
import type { HttpsServer } from './server/https-server.ts'
import { inProcessTransport } from './server/in-process.ts'
import { watchStoreHealth } from './store-health.ts'
import type { StoreHealth } from './store-health.ts'
import { startUpkeep } from './upkeep.ts'
import { Watches } from './watch.ts'
import { Writer } from './write/writer.ts'

export { openStore } from './open-store.ts'

export interface ApiServerOptions {
  /** Closed by its owner, after the server has stopped. */
  readonly store: Store
  /** Where CA and keys live; undefined: they are made anew and gone with the process. */
  readonly dataDir: string | undefined
  readonly bind: string
  /** 0: whichever is free. */
  readonly port: number
  /** Under which others reach this server; default the address it is bound to, or the machine's first. */
  readonly advertiseAddress?: string
  /** Further names and addresses under which clients come: of a balancer before several servers, say. */
  readonly serverNames?: readonly string[]
  /** `10.96.0.0/12`, or one range of each family with a comma between: the first is the default one. */
  readonly serviceClusterIPRange?: string
  readonly serviceNodePortRange?: string
  /** Default: the tenth of each service range; several with commas between. */
  readonly clusterDnsAddress?: string
  /** A file to which every request is written. */
  readonly audit?: AuditOptions
  readonly notReadyTolerationSeconds?: number
  readonly unreachableTolerationSeconds?: number
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}

export interface ApiServer extends Component {
  readonly url: string
  readonly port: number
  /** The CA's certificate, PEM. */
  readonly caCertificate: string
  /** A transport within this process that speaks as `user`. */
  transport(user: UserInfo): Transport
  /** YAML with a client certificate of system:masters; the same after a restart. */
  adminKubeconfig(): string
  /** YAML with a new client certificate. */
  kubeconfigFor(who: { readonly user: string; readonly groups?: readonly string[] }): Promise<string>
  /** A token with which nodes join: `FW1<hash of the CA>::<id>.<secret>`, good for at least half a day. */
  joinToken(): Promise<string>
}

const clusterName = 'fairway'
const issuer = 'https://kubernetes.default.svc.cluster.local'
const stopGraceMs = 2000
const tokenLifeMs = 86_400_000

/** Starts serving; resolves when the server is ready. Fails with a sentence when the port is taken. */
export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const { bind, clock } = options
  const advertised = options.advertiseAddress ?? addressOf(bind)
  const kubernetesAddress = addressIn(serviceRanges(options)[0] ?? '', 1)
  const names = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'kubernetes.default.svc.cluster.local', 'localhost', '127.0.0.1', kubernetesAddress, advertised, ...(options.serverNames ?? [])]
  if (isIP(bind) !== 0 && !isAny(bind)) names.push(bind)
  const credentials = await openCredentials({ dataDir: options.dataDir, serverNames: [...new Set(names)], now: () => clock.now() })
  const server = new Server(options, credentials, advertised, kubernetesAddress)
  try {
    await server.start()
  } catch (error) {
    await server.stop()
    throw error
  }
  return server
}

class Server implements ApiServer {
  readonly done: Promise<void>
  readonly #options: ApiServerOptions
  readonly #credentials: Credentials
  readonly #advertised: string
  readonly #kubernetesAddress: string
  readonly #serving: Serving
  readonly #shared: SharedStore
  readonly #handler: ReturnType<typeof createHandler>
  readonly #settleDone: { resolve: () => void; reject: (error: Error) => void }
  readonly #aggregation: Aggregation
  readonly #audit: AuditLog | undefined
  #https: HttpsServer | undefined
  #notReady: string | undefined = 'starting'
  #health: StoreHealth | undefined
  #release: (() => void)[] = []
  #stopping: Promise<void> | undefined

  constructor(options: ApiServerOptions, credentials: Credentials, advertised: string, kubernetesAddress: string) {
    const { store, clock, random, log } = options
    this.#options = options
    this.#credentials = credentials
    this.#advertised = advertised
    this.#kubernetesAddress = kubernetesAddress
    const descriptors = builtinResources({ serviceClusterIPRanges: serviceRanges(options), ...(options.serviceNodePortRange === undefined ? {} : { serviceNodePortRange: options.serviceNodePortRange }) })
    const cache = new WatchCache(store, descriptors)
    const lookup = (resource: string, namespace: string | undefined, name: string) => cache.named(resource)?.get(namespace ?? '', name)?.object
    const now = (): number => clock.now()
    const tokens = new ServiceAccountTokens({ key: credentials.serviceAccountKey, issuer, now, lookup })
    const authorizer = new Authorizer(cache)
    const { notReadyTolerationSeconds = 300, unreachableTolerationSeconds = 300 } = options
    const registry = new Registry(descriptors)
    const outbound = new Outbound({ cache, clock, random })
    const writeQuota: WriteQuota = async (namespace, name, make) => {
      const descriptor = registry.named('resourcequotas')
      if (descriptor !== undefined) await this.#serving.writer.update({ descriptor, namespace, name }, { part: 'status', make }, { user: serverUser })
    }
    const admission = createAdmission({ authorizer, registry, outbound, log, notReadyTolerationSeconds, unreachableTolerationSeconds, writeQuota })
    this.#serving = {
      registry,
      cache,
      reader: new Reader(store, cache, clock),
      writer: new Writer(store, cache, admission, clock, random),
      watches: new Watches({ cache, clock, random }),
      authenticator: new Authenticator({ tokens, lookup, now }),
      authorizer,
      tokens,
      kubelets: new KubeletAccess(credentials.kubeletClient, credentials.authority.certificate),
      outbound,
      clock,
      random,
    }
    this.#aggregation = new Aggregation({ cache, registry, writer: this.#serving.writer, outbound, credential: credentials.frontProxy, clock, random, log })
    this.#shared = new SharedStore(store, cache, clock)
    this.#audit = options.audit === undefined ? undefined : new AuditLog(options.audit, clock, log)
    this.#handler = createHandler({ aggregation: this.#aggregation, serving: this.#serving, shared: this.#shared, ...(this.#audit === undefined ? {} : { audit: this.#audit }), log, caCertificate: credentials.authority.certificate, serverAddress: () => `${this.#advertised}:${this.port}`, notReady: () => this.#notReady ?? this.#health?.trouble, isStopping: () => this.#stopping !== undefined })
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.done = promise
    this.#settleDone = { resolve, reject }
  }

  get port(): number {
    return this.#https?.port ?? this.#options.port
  }

  get url(): string {
    const host = isAny(this.#options.bind) ? this.#advertised : this.#options.bind
    return `https://${host.includes(':') ? `[${host}]` : host}:${this.port}`
  }

  get caCertificate(): string {
    return this.#credentials.authority.certificate
  }

  async start(): Promise<void> {
    const { store, bind, port, clock, random, log } = this.#options
    const { cache, writer, registry } = this.#serving
    await cache.start((error) => this.#lost(error), () => this.#serving.watches.endAll())
    const { handle, upgrade } = this.#handler
    this.#https = await startHttpsServer({ bind, port, credential: this.#credentials.server, clientCa: this.caCertificate, handle, upgrade, clock, log })
    await this.#shared.alone('bootstrap', () => this.#bootstrap())
    const requests = registry.named('certificatesigningrequests.certificates.k8s.io')
    if (requests !== undefined) this.#release.push(startCertificateSigning({ cache, writer, descriptor: requests, authority: this.#credentials.authority, now: () => clock.now(), log }))
    const definitions = registry.named('customresourcedefinitions.apiextensions.k8s.io')
    if (definitions !== undefined) this.#release.push(await startCustomResources({ cache, registry, writer, outbound: this.#serving.outbound, descriptor: definitions, now: () => clock.now(), log }))
    this.#release.push(startFlowSchemas({ cache, registry, writer, clock, random, log }))
    this.#release.push(startRoleAggregation({ cache, registry, writer, clock, random, log }))
    this.#release.push(startServiceAddresses({ cache, registry, writer, clock, random, log }))
    await this.#aggregation.start()
    this.#release.push(() => this.#aggregation.stop())
    this.#release.push(startUpkeep({ store, cache, writer, registry, clock, log }))
    const health = watchStoreHealth(store, clock)
    this.#health = health
    this.#release.push(() => health.stop())
    this.#notReady = undefined
    log.info('the API server is ready', { url: this.url })
  }

  /** What must be there before anybody comes; of several servers that start at once, one after the other. */
  async #bootstrap(): Promise<void> {
    const { store, clock, log } = this.#options
    const { cache, writer, registry } = this.#serving
    await ensureBootstrapObjects({ writer, registry }, {
      kubernetesAddress: this.#kubernetesAddress,
      clusterDnsAddresses: this.#options.clusterDnsAddress?.split(',') ?? serviceRanges(this.#options).map((range) => addressIn(range, 10)),
      caCertificate: this.caCertificate,
      frontProxyCa: this.#credentials.frontProxy.ca,
      serviceRanges: serviceRanges(this.#options),
    })
    // A loopback address is not where pods find us.
    if (!this.#advertised.startsWith('127.') && this.#advertised !== '::1') this.#release.push(await keepKubernetesEndpoints({ cache, writer, registry, clock, log, address: this.#advertised, port: this.port, isShared: store.isShared }))
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  transport(user: UserInfo): Transport {
    return inProcessTransport(this.#handler.handle, user)
  }

  adminKubeconfig(): string {
    const { admin } = this.#credentials
    return this.#kubeconfig('kubernetes-admin', admin.certificate, admin.key)
  }

  async kubeconfigFor({ user, groups = [] }: { readonly user: string; readonly groups?: readonly string[] }): Promise<string> {
    const { certificate, key } = await this.#credentials.authority.issue({ subject: { commonName: user, organizations: groups }, usages: ['client'], validMs: yearMs })
    return this.#kubeconfig(user, certificate, key)
  }

  async joinToken(): Promise<string> {
    const { cache, writer, registry } = this.#serving
    const now = this.#options.clock.now()
    const prefix = `FW1${this.#credentials.authority.fingerprint}::`
    for (const { object } of cache.named('secrets')?.list('kube-system') ?? []) {
      const present = tokenOf(object, now, tokenLifeMs / 2)
      if (present !== undefined) return prefix + present
    }
    const descriptor = registry.named('secrets')
    if (descriptor === undefined) throw new Error('Cannot make a join token: secrets are not served')
    // A secret must not be guessable, whatever source of chance the rest is given.
    const secure = (): number => randomInt(2 ** 32) / 2 ** 32
    const { token, secret } = newBootstrapToken((count) => lettersFrom(secure, count), now, tokenLifeMs)
    await writer.create(descriptor, 'kube-system', secret, { user: serverUser })
    return prefix + token
  }

  #kubeconfig(user: string, clientCert: string, clientKey: string): string {
    return renderKubeconfig({ clusterName, user, config: { server: this.url, ca: this.caCertificate, clientCert, clientKey } })
  }

  /** The store is gone under us: nothing that we could say is true any more. */
  #lost(error: Error): void {
    if (this.#stopping !== undefined) return
    this.#options.log.error('the API server lost its store', { error })
    this.#settleDone.reject(error)
    void this.stop()
  }

  async #stop(): Promise<void> {
    this.#notReady = 'stopping'
    for (const release of this.#release) release()
    this.#release = []
    this.#serving.watches.close()
    await this.#https?.stop(stopGraceMs)
    this.#serving.kubelets.close()
    this.#serving.outbound.close()
    this.#serving.cache.stop()
    this.#audit?.close()
    this.#settleDone.resolve()
  }
}

function isAny(bind: string): boolean {
  return bind === '0.0.0.0' || bind === '::' || bind === ''
}

/** Under which address others reach what is bound to `bind`. */
function addressOf(bind: string): string {
  if (!isAny(bind)) return bind
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
  return all.find(({ internal, family }) => !internal && family === 'IPv4')?.address ?? '127.0.0.1'
}

/** The address at a place of a range: `addressIn('10.96.0.0/12', 1)` is 10.96.0.1. */
function addressIn(range: string, place: number): string {
  const Address = range.includes(':') ? Address6 : Address4
  return Address.fromBigInt(new Address(range).startAddress().bigInt() + BigInt(place)).correctForm()
}

/** One range, or one of each family. */
function serviceRanges({ serviceClusterIPRange = '10.96.0.0/12' }: Pick<ApiServerOptions, 'serviceClusterIPRange'>): string[] {
  return serviceClusterIPRange.split(',')
}
