/** The configuration list that container engines and the kubelet pick up (CNI specification 1.1.0, section 1). */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeFolder } from './folder.ts'
import { parseRangeSets } from './ipam/ranges.ts'
import { defaultDataDir, defaultNetworkName, networkConfigFile } from './paths.ts'

export interface NetworkConfigOptions {
  readonly confDir: string
  /** One range per family, such as ['10.244.1.0/24', 'fd00:10:244:1::/64']: a pod gets an address of each. */
  readonly podCIDRs: readonly string[]
  /** MTU of pods; left out, that of the host's default route. */
  readonly mtu?: number | undefined
  readonly dataDir?: string | undefined
  /** Default `fairway`. */
  readonly name?: string | undefined
  /** Whether the plugin sees to it that pods leave with their host's address; the overlay does so itself. */
  readonly ipMasq?: boolean | undefined
}

/** Writes the list, whole or not at all. Returns whether anything changed. Throws where a range is none. */
export function writeNetworkConfig({ confDir, podCIDRs, mtu, dataDir = defaultDataDir, name = defaultNetworkName, ipMasq = false }: NetworkConfigOptions): boolean {
  const ranges = podCIDRs.map((subnet) => [{ subnet }])
  // before it is written rather than by the first pod
  parseRangeSets({ ranges })
  const list = {
    // runtimes older than 1.1.0 refuse its results, and do not look at the list; younger ones take the newest of it that they know
    cniVersion: '1.0.0',
    cniVersions: ['1.0.0', '1.1.0'],
    name,
    plugins: [{
      type: 'fairway',
      ...(mtu === undefined ? {} : { mtu }),
      ...(ipMasq ? { ipMasq } : {}),
      capabilities: { portMappings: true, bandwidth: true, ips: true, mac: true, dns: true },
      ipam: { type: 'fairway-ipam', dataDir, ranges },
    }],
  }
  const text = `${JSON.stringify(list, null, 2)}\n`
  const file = join(confDir, networkConfigFile)
  try {
    if (readIfThere(file) === text) return false
    makeFolder(confDir)
    writeFileSync(`${file}.new`, text, { mode: 0o644 })
    renameSync(`${file}.new`, file)
    return true
  } catch (error) {
    throw new Error(`Cannot write configuration ${file}: ${(error as Error).message}`, { cause: error })
  }
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
