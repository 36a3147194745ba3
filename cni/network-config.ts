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
}

/** Writes the list, whole or not at all. Returns whether anything changed. Throws where a range is none. */
export function writeNetworkConfig({ confDir, podCIDRs, mtu, dataDir = defaultDataDir, name = defaultNetworkName }: NetworkConfigOptions): boolean {
  const ranges = podCIDRs.map((subnet) => [{ subnet }])
  // before it is written rather than by the first pod
  parseRangeSets({ ranges })
  const list = {
    cniVersion: '1.1.0',
    name,
    plugins: [{
      type: 'fairway',
      ...(mtu === undefined ? {} : { mtu }),
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
