/** What a machine holds that a cluster could leave behind: compared before and after, it must be the same. */
import { execFileSync } from 'node:child_process'
import { existsSync, globSync, readFileSync, readdirSync, readlinkSync } from 'node:fs'

export interface MachineState {
  readonly links: readonly string[]
  readonly addresses: readonly string[]
  readonly routes: readonly string[]
  readonly rules: readonly string[]
  readonly namespaces: readonly string[]
  readonly ruleset: string
  readonly mounts: readonly string[]
  readonly cgroups: readonly string[]
  readonly processes: readonly string[]
  readonly files: readonly string[]
  readonly sysctls: readonly string[]
}

interface Named { readonly ifname?: string; readonly dst?: string; readonly dev?: string }

/** Reads the state with the distribution's own tools, as a second opinion on what the product says it removed. */
export function machineState(): MachineState {
  return {
    links: json<Named>('ip', ['-j', 'link']).map((link) => link.ifname ?? '').sort(),
    addresses: text('ip', ['-o', 'addr']).split('\n').map((line) => line.replace(/\s+/g, ' ').replace(/valid_lft.*$/, '').replace(/^\d+: /, '')).filter(Boolean).sort(),
    routes: json<Named>('ip', ['-j', 'route', 'show', 'table', 'all']).map((route) => `${route.dst} ${route.dev}`).sort(),
    rules: text('ip', ['rule']).split('\n').filter(Boolean).sort(),
    namespaces: existsSync('/run/netns') ? readdirSync('/run/netns').sort() : [],
    ruleset: text('nft', ['list', 'ruleset']),
    mounts: readFileSync('/proc/self/mountinfo', 'utf8').split('\n').map((line) => line.split(' ')[4] ?? '').filter(Boolean).sort(),
    cgroups: globSync('/sys/fs/cgroup/**/*fairway*').sort(),
    processes: processes(),
    files: ['/var/lib/fairway/clusters', '/run/fairway', '/etc/cni', '/opt/cni', '/var/lib/cni'].flatMap((folder) =>
      existsSync(folder) ? globSync(`${folder}/**`).sort() : []),
    sysctls: ['/proc/sys/net/ipv4/ip_forward', '/proc/sys/net/ipv6/conf/all/forwarding', ...globSync('/proc/sys/net/ipv4/conf/*/forwarding').sort()].map((file) => `${file} ${readFileSync(file, 'utf8').trim()}`),
  }
}

/** Programs of a cluster: container engines, shims, agents and the inits of hosts; not the test's own. */
function processes(): string[] {
  const found: string[] = []
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (readlinkSync(`/proc/${pid}/exe`) === '') continue
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
      if (/dockerd|containerd|runc/.test(words[0] ?? '') || words.some((word) => /host-init/.test(word))) found.push(words.slice(0, 3).join(' '))
    } catch (error) {
      if (!['ENOENT', 'ESRCH', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error // a process that ended meanwhile
    }
  }
  return found.sort()
}

function text(command: string, args: readonly string[]): string {
  return execFileSync(command, args, { encoding: 'utf8' })
}

function json<T>(command: string, args: readonly string[]): T[] {
  const printed = text(command, args).trim()
  return printed === '' ? [] : (JSON.parse(printed) as T[])
}
