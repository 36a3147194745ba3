/** Versions of the specification that the plugins speak. */
import { CniError } from './error.ts'

export const supportedVersions = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const
export type CniVersion = (typeof supportedVersions)[number]

export const newestVersion: CniVersion = '1.1.0'

/** Which version of the specification brought a verb. */
export const since = { CHECK: '0.4.0', GC: '1.1.0', STATUS: '1.1.0' } as const satisfies Readonly<Record<string, CniVersion>>

/** A configuration's version; one without has the oldest that there is, which nobody speaks any more. */
export function parseVersion(value: unknown): CniVersion {
  const version = value === undefined || value === '' ? '0.1.0' : value
  const known = supportedVersions.find((one) => one === version)
  if (known !== undefined) return known
  throw new CniError('incompatibleVersion', `Cannot use configuration of version ${typeof version === 'string' ? version : JSON.stringify(version)}: supported are ${supportedVersions.join(', ')}`)
}

export function isAtLeast(version: CniVersion, least: CniVersion): boolean {
  return supportedVersions.indexOf(version) >= supportedVersions.indexOf(least)
}
