import { readFileSync } from 'node:fs'
import { systemClock } from '../../api/clock.ts'
import { createLogger } from '../../api/log.ts'
import { loadKubeconfig } from '../../api/kubeconfig.ts'
import { addressTowards, parseLabels, runtimeSocket } from '../agent/node-flags.ts'
import type { NodeFlags } from '../agent/node-flags.ts'
import { clientFrom, runUntilSignal } from '../component.ts'
import { createDockerRuntime, startKubelet } from '../../kubelet/index.ts'

export interface KubeletFlags extends NodeFlags {
  readonly kubeconfig: string
  readonly cniBinDir: string
  readonly cniConfDir: string
  readonly port: number
  readonly tlsCertFile?: string
  readonly tlsPrivateKeyFile?: string
  readonly clientCaFile?: string
}

/** `fairway kubelet` */
export async function runKubelet(flags: KubeletFlags): Promise<void> {
  const { dataDir, kubeconfig } = flags
  const { server, ca } = loadKubeconfig(kubeconfig)
  return runUntilSignal(startKubelet({
    client: clientFrom(kubeconfig),
    nodeName: flags.nodeName,
    nodeAddresses: flags.nodeIp ?? [await addressTowards(new URL(server).hostname)],
    nodeLabels: parseLabels(flags.nodeLabels),
    runtime: createDockerRuntime({ socketPath: runtimeSocket(flags), sandboxImage: flags.podInfraContainerImage }),
    dataDir,
    cni: { binDir: flags.cniBinDir, confDir: flags.cniConfDir, cacheDir: `${dataDir}/cni-cache` },
    clusterDns: flags.clusterDns,
    clusterDomain: flags.clusterDomain,
    ...serverOptions(flags, ca),
    leaseDurationSeconds: flags.nodeLeaseDurationSeconds,
    podsMax: flags.maxPods,
    clock: systemClock,
    random: Math.random,
    log: createLogger({ level: flags.logLevel }),
  }))
}

function serverOptions({ port, tlsCertFile, tlsPrivateKeyFile, clientCaFile }: KubeletFlags, ca: string | undefined): Pick<Parameters<typeof startKubelet>[0], 'server'> {
  if (port === 0 || (tlsCertFile === undefined && tlsPrivateKeyFile === undefined)) return {}
  if (tlsCertFile === undefined || tlsPrivateKeyFile === undefined) throw new Error("Cannot serve logs and exec: --tls-cert-file and --tls-private-key-file belong together")
  const clientCa = clientCaFile === undefined ? ca : readFileSync(clientCaFile, 'utf8')
  if (clientCa === undefined) throw new Error('Cannot serve logs and exec: the kubeconfig names no CA, so --client-ca-file is needed')
  return { server: { address: '0.0.0.0', port, key: readFileSync(tlsPrivateKeyFile, 'utf8'), certificate: readFileSync(tlsCertFile, 'utf8'), clientCa } }
}
