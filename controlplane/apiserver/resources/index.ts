// The table of built-in resources: one row per kind says where it is served, what `kubectl get` shows of it, and what
// rules (a `Strategy`) its objects keep to.
import type { ResourceDescriptor } from '../descriptor.ts'
import { parsePortRange } from './allocation/node-ports.ts'
import { admissionRows } from './admission.ts'
import { clusterRows } from './cluster.ts'
import { coreRows } from './core.ts'
import { platformRows, secondRows } from './platform.ts'
import { workloadRows } from './workloads.ts'

export interface ResourceOptions {
  /** Where cluster IPs come from, one range per address family; the first is the default family. Default `10.96.0.0/12`. */
  readonly serviceClusterIPRanges?: readonly string[]
  /** First and last node port. Default `30000-32767`. */
  readonly serviceNodePortRange?: string
}

/** All built-in resources, in discovery's order. */
export function builtinResources(options: ResourceOptions = {}): readonly ResourceDescriptor[] {
  const { serviceClusterIPRanges = ['10.96.0.0/12'], serviceNodePortRange = '30000-32767' } = options
  const rows = [...coreRows(serviceClusterIPRanges, parsePortRange(serviceNodePortRange)), ...workloadRows(), ...admissionRows(), ...clusterRows(), ...platformRows()]
  return [...rows, ...secondRows(rows)]
}
