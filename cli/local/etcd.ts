/** etcd for a local cluster: a member on each control plane's host, TLS between all of them by an authority of its own. */
import { accessSync, chmodSync, constants, copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CertificateAuthority, yearMs } from '../../controlplane/apiserver/pki/authority.ts'
import { openCredentials, sharedCredentialFiles } from '../../controlplane/apiserver/pki/credentials.ts'
import { inUrl } from './addressing.ts'
import { controlPlaneHosts, hostAddress, hostAddresses } from './config.ts'
import type { ClusterConfigFile } from './config.ts'
import { clusterPaths } from './paths.ts'

const state = '/var/lib/fairway'
const [clientPort, peerPort] = [2379, 2380]

/** Refuses where there is no etcd to be run. */
export function requireEtcd(folders: readonly string[] = [...(process.env['PATH'] ?? '').split(':'), '/usr/bin', '/usr/local/bin']): void {
  const isThere = folders.some((folder) => {
    try {
      accessSync(join(folder, 'etcd'), constants.X_OK)
      return true
    } catch {
      return false // not in this folder
    }
  })
  if (!isThere) throw new Error("Cannot keep the cluster's state in etcd: there is no program etcd on this machine; 'apt-get install etcd-server' brings it")
}

const urlOf = (config: ClusterConfigFile, host: string, port: number): string => `https://${inUrl(hostAddress(config, host))}:${port}`

/** What etcd is started with on a host. */
export function etcdArguments(config: ClusterConfigFile, host: string): string[] {
  const [client, peer] = [urlOf(config, host, clientPort), urlOf(config, host, peerPort)]
  const pki = `${state}/etcd-pki`
  return [
    '--name', host, '--data-dir', `${state}/etcd`, '--log-level', 'warn', '--logger', 'zap',
    '--listen-client-urls', client, '--advertise-client-urls', client, '--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer,
    '--initial-cluster', controlPlaneHosts(config).map((one) => `${one}=${urlOf(config, one, peerPort)}`).join(','), '--initial-cluster-token', config.name, '--initial-cluster-state', 'new',
    '--client-cert-auth', '--trusted-ca-file', `${pki}/ca.crt`, '--cert-file', `${pki}/member.crt`, '--key-file', `${pki}/member.key`,
    '--peer-client-cert-auth', '--peer-trusted-ca-file', `${pki}/ca.crt`, '--peer-cert-file', `${pki}/member.crt`, '--peer-key-file', `${pki}/member.key`,
  ]
}

/** What the API server of a host is told of it: the member beside it first. */
export function etcdFlags(config: ClusterConfigFile, host: string): string[] {
  const members = [host, ...controlPlaneHosts(config).filter((other) => other !== host)]
  const pki = `${state}/etcd-pki`
  return [
    '--store', `etcd=${members.map((member) => urlOf(config, member, clientPort)).join(',')}`,
    '--etcd-cafile', `${pki}/ca.crt`, '--etcd-certfile', `${pki}/client.crt`, '--etcd-keyfile', `${pki}/client.key`, '--leader-elect',
  ]
}

/**
 * Gives each control plane's host its keys: those that all API servers must have in common, and its member's. A node has certificates of the cluster's
 * authority, so etcd, which lets in whoever has one of its authority, needs another. Its key is not kept: nobody joins later.
 */
export async function shareKeys(config: ClusterConfigFile, folderOf = (host: string) => `${clusterPaths(config.name).host(host).varLib}/fairway`): Promise<void> {
  const [first = '', ...others] = controlPlaneHosts(config)
  const folder = (host: string, name: string): string => {
    const path = `${folderOf(host)}/${name}`
    mkdirSync(path, { recursive: true, mode: 0o700 })
    return path
  }
  if (existsSync(`${folder(first, 'etcd-pki')}/ca.crt`)) return
  const now = (): number => Date.now()
  await openCredentials({ dataDir: folder(first, 'server'), serverNames: [hostAddress(config, first)], now })
  for (const host of others) {
    for (const file of sharedCredentialFiles) {
      const copy = `${folder(host, 'server/pki')}/${file}`
      copyFileSync(`${folder(first, 'server/pki')}/${file}`, copy)
      chmodSync(copy, 0o600)
    }
  }
  const authority = await CertificateAuthority.create('fairway-etcd-ca', now)
  const issue = async (host: string, file: string, commonName: string, usages: readonly ('server' | 'client')[]): Promise<void> => {
    const { certificate, key } = await authority.issue({ subject: { commonName }, usages, names: ['localhost', '127.0.0.1', ...hostAddresses(config, host)], validMs: 10 * yearMs })
    for (const [ending, text] of [['crt', certificate], ['key', key]] as const) writeFileSync(`${folder(host, 'etcd-pki')}/${file}.${ending}`, text, { mode: 0o600 })
  }
  for (const host of [...others, first]) {
    await issue(host, 'member', host, ['server', 'client'])
    await issue(host, 'client', `kube-apiserver-etcd-client-${host}`, ['client'])
    writeFileSync(`${folder(host, 'etcd-pki')}/ca.crt`, authority.certificate)
  }
}
