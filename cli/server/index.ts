/** The control plane: an API server, and beside it, in the same process, the scheduler and the controllers. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { dirname } from 'node:path'
import { Client } from '../../api/client.ts'
import { systemClock } from '../../api/clock.ts'
import type { Component } from '../../api/component.ts'
import { createLogger } from '../../api/log.ts'
import type { LogLevel } from '../../api/log.ts'
import { openStore, startApiServer } from '../../controlplane/apiserver/index.ts'
import type { ApiServer, ApiServerOptions } from '../../controlplane/apiserver/index.ts'
import { elected } from '../elected.ts'

export interface ApiServerFlags {
  readonly dataDir: string
  readonly store: string
  readonly etcdCafile?: string
  readonly etcdCertfile?: string
  readonly etcdKeyfile?: string
  readonly bind: string
  readonly port: number
  readonly advertiseAddress?: string
  readonly tlsSan?: readonly string[]
  readonly writeKubeconfig?: string
  readonly auditLogPath?: string
  readonly auditPolicyFile?: string
  readonly auditLogMaxsize?: number
  readonly auditLogMaxbackup?: number
  readonly auditLogMaxage?: number
  readonly writeToken?: string
  readonly serviceClusterIpRange: string
  readonly serviceNodePortRange: string
  readonly clusterDns: string
  readonly defaultNotReadyTolerationSeconds: number
  readonly defaultUnreachableTolerationSeconds: number
  readonly logLevel: LogLevel
}

/** Opens the store and serves; afterwards writes the files that were asked for. */
export async function serveApi(flags: ApiServerFlags): Promise<ApiServer> {
  const log = createLogger({ level: flags.logLevel })
  const { etcdCafile: caFile, etcdCertfile: certFile, etcdKeyfile: keyFile } = flags
  const store = await openStore(flags.store, flags.dataDir, { ...(caFile && { caFile }), ...(certFile && { certFile }), ...(keyFile && { keyFile }) })
  const server = await startApiServer({
    store,
    dataDir: flags.dataDir,
    bind: flags.bind,
    port: flags.port,
    ...(flags.advertiseAddress === undefined ? {} : { advertiseAddress: flags.advertiseAddress }),
    ...(flags.tlsSan === undefined ? {} : { serverNames: flags.tlsSan }),
    serviceClusterIPRange: flags.serviceClusterIpRange,
    serviceNodePortRange: flags.serviceNodePortRange,
    clusterDnsAddress: flags.clusterDns,
    ...auditOf(flags),
    notReadyTolerationSeconds: flags.defaultNotReadyTolerationSeconds,
    unreachableTolerationSeconds: flags.defaultUnreachableTolerationSeconds,
    clock: systemClock,
    random: Math.random,
    log,
  })
  if (flags.writeToken !== undefined) writePrivate(flags.writeToken, `${await server.joinToken()}\n`)
  if (flags.writeKubeconfig !== undefined) writePrivate(flags.writeKubeconfig, server.adminKubeconfig())
  return Object.assign(server, { stop: closingAfter(server, store) })
}

function auditOf({ auditLogPath: path, auditPolicyFile: source, auditLogMaxsize: maxSize, auditLogMaxbackup: maxBackup, auditLogMaxage: maxAge }: ApiServerFlags): Pick<ApiServerOptions, 'audit'> {
  if (path === undefined) {
    if (source !== undefined) throw new Error('Cannot keep an audit log by --audit-policy-file alone: --audit-log-path says where to')
    return {}
  }
  return { audit: { path, ...(source && { policy: { source, text: readPolicy(source) } }), ...(maxSize && { maxSize }), ...(maxBackup !== undefined && { maxBackup }), ...(maxAge && { maxAge }) } }
}

function readPolicy(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new Error(`Cannot read the audit policy ${file}: ${(error as Error).message}`, { cause: error })
  }
}

/** The store is closed once nothing writes to it any more. */
function closingAfter(server: ApiServer, store: { close(): void | Promise<void> }): () => Promise<void> {
  const stop = server.stop.bind(server)
  let stopping: Promise<void> | undefined
  return () => (stopping ??= stop().then(() => store.close()))
}

export interface ServerFlags extends ApiServerFlags {
  readonly clusterCidr: readonly string[]
  readonly nodeMonitorGracePeriod: number
  readonly routePods?: boolean
  readonly leaderElect?: boolean
}

/** All of the control plane. */
export async function startControlPlane(flags: ServerFlags): Promise<Component> {
  const [server, { startControllers }, { startScheduler }, { together }] = await Promise.all([
    serveApi(flags), import('../../controlplane/controllers/index.ts'), import('../../controlplane/scheduler/index.ts'), import('../component.ts'),
  ])
  const log = createLogger({ level: flags.logLevel })
  const part = (name: string): { client: Client; clock: typeof systemClock; random: typeof Math.random; log: typeof log } => ({
    client: new Client(server.transport({ name: `system:${name}`, groups: ['system:masters', 'system:authenticated'] })), clock: systemClock, random: Math.random, log: log.with({ part: name }),
  })
  // The same after a restart, so that one who was leading need not wait for itself.
  const identity = `${hostname()}_${flags.advertiseAddress ?? flags.bind}_${server.port}`
  const one = (name: string, start: (options: ReturnType<typeof part>) => Component | Promise<Component>) => (): Promise<Component> => elected(name, flags.leaderElect === true ? identity : undefined, part(name), start)
  return together([
    () => Promise.resolve(server),
    one('kube-scheduler', startScheduler),
    one('kube-controller-manager', (options) => startControllers({ ...options, rootCA: server.caCertificate, clusterCIDRs: flags.clusterCidr, nodeMonitorGracePeriodMs: flags.nodeMonitorGracePeriod })),
    ...(flags.routePods === true ? [async () => (await import('./pod-routes.ts')).startPodRoutes(part('pod-routes'))] : []),
  ])
}

/** Whole or not at all, and for their owner only. */
function writePrivate(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(`${file}.${process.pid}`, text, { mode: 0o600 })
  renameSync(`${file}.${process.pid}`, file)
}
