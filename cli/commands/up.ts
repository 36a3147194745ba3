import { checkWireguard } from '../../cni/index.ts'
import type { Backend } from '../../cni/index.ts'
import type { IpFamily } from '../local/addressing.ts'
import { checkClusterName, hostAddress, hostsOf, serverUrl } from '../local/config.ts'
import type { ClusterConfigFile, LocalStore } from '../local/config.ts'
import { requireEtcd } from '../local/etcd.ts'
import { Progress } from '../local/progress.ts'
import { up } from '../local/up.ts'
import { contextName } from '../local/user-kubeconfig.ts'
import { print, requireRoot } from '../terminal.ts'

export interface UpFlags {
  readonly name: string
  readonly nodes: number
  readonly controlPlanes: number
  readonly store?: string
  readonly runtime: string
  readonly overlay: Backend
  readonly ipFamily: IpFamily
  readonly outbound?: boolean
  readonly ingress?: boolean
  readonly demo?: boolean
}

const interruptions = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** `fairway up` */
export async function runUp(flags: UpFlags): Promise<void> {
  refuseWhatIsNotThere(flags)
  const store = storeOf(flags)
  checkClusterName(flags.name)
  requireRoot('make hosts')
  if (flags.overlay === 'wireguard') checkWireguard()
  const interrupted = new AbortController()
  const interrupt = (name: NodeJS.Signals): void => interrupted.abort(new Error(`Cannot go on: interrupted by ${name}; what was begun has been taken back`))
  for (const name of interruptions) process.on(name, interrupt)
  const startedMs = performance.now()
  let result
  {
    using progress = new Progress(process.stdout, () => performance.now())
    result = await up({ ...flags, store, outbound: flags.outbound === true, ingress: flags.ingress === true, progress, signal: interrupted.signal, say: print })
  }
  for (const name of interruptions) process.off(name, interrupt)
  const { config, was } = result
  if (was === 'running') print(`Cluster ${config.name} is already up: ${listed(config)}, API at ${serverUrl(config)}`)
  else print(`Cluster ${config.name} is up after ${((performance.now() - startedMs) / 1000).toFixed(1)} s: ${listed(config)}, API at ${serverUrl(config)}`)
  if (flags.demo === true) await (await import('../demo/demo.ts')).runDemo(config)
  else if (was !== 'running') printNext(config)
}

/** Flags of the command-line contract whose parts are not written yet: refused by name, never ignored. */
function refuseWhatIsNotThere({ runtime, ipFamily, outbound }: UpFlags): void {
  if (runtime !== 'docker') throw new Error(`Cannot use runtime ${runtime}: it is not there yet; leave out --runtime`)
  if (ipFamily === 'ipv6' && outbound === true) throw new Error('Cannot let a cluster without IPv4 reach beyond this machine: --outbound forwards IPv4 only; --ip-family dual has both')
}

/** Several control planes share their state, so it is in etcd then, a member on each of their hosts. */
function storeOf({ controlPlanes, store = controlPlanes > 1 ? 'etcd' : 'sqlite' }: UpFlags): LocalStore {
  if (store === 'sqlite' && controlPlanes > 1) throw new Error(`Cannot make ${controlPlanes} control planes on sqlite: they share their state, which takes --store etcd`)
  if (store === 'sqlite') return store
  const [, members = String(controlPlanes)] = /^etcd(?::(\d+))?$/.exec(store) ?? [undefined, '']
  if (members === '') throw new Error(`Cannot use store ${JSON.stringify(store)}: local clusters know sqlite and etcd`)
  if (Number(members) !== controlPlanes) throw new Error(`Cannot make ${members} members of etcd: each control plane has one, so that takes --control-planes ${members}`)
  requireEtcd()
  return 'etcd'
}

function listed(config: ClusterConfigFile): string {
  return hostsOf(config).map((host) => `${host} ${hostAddress(config, host)}`).join(', ')
}

function printNext(config: ClusterConfigFile): void {
  const name = config.name === 'dev' ? '' : ` --name ${config.name}`
  print(`
  kubectl --context ${contextName(config.name)} get nodes -o wide
  kubectl --context ${contextName(config.name)} apply -f examples/web.yaml
  fairway status${name}
  fairway node exec${name} node-1 -- bash
  fairway down${name}
`)
}
