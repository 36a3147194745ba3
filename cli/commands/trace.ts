import { rangesOf } from '../local/addressing.ts'
import { hostInits } from '../local/processes.ts'
import { requireConfig } from '../local/config.ts'
import { adminClient } from '../local/nodes-ready.ts'
import { print, requireRoot } from '../terminal.ts'
import { readCluster } from '../trace/cluster-view.ts'
import { viewHost } from '../trace/host-view.ts'
import type { HostView } from '../trace/host-view.ts'
import { parseSource, parseTarget } from '../trace/places.ts'
import { walk } from '../trace/walk.ts'
import type { Protocol, Step } from '../trace/step.ts'

export interface TraceFlags {
  readonly name: string
  readonly namespace: string
  readonly protocol?: Protocol
}

const signs = { good: '✓', bad: '✗', note: '·' } as const
const subjectWidth = 8
/** Of local clusters. */
const zone = 'cluster.local'

/** `fairway trace`; the exit status is 0 when the target was reached. */
export async function runTrace(from: string, to: string, { name, namespace, protocol }: TraceFlags): Promise<void> {
  requireRoot('look into the network namespaces of hosts')
  const source = parseSource(from, namespace)
  const target = parseTarget(to, namespace)
  const cluster = requireConfig(name)
  const { client, close } = adminClient(cluster.name)
  try {
    const inits = hostInits(cluster.name)
    const views = new Map<string, HostView>()
    const host = (node: string): HostView | undefined => {
      const init = inits.get(node)
      const view = views.get(node) ?? (init === undefined ? undefined : viewHost(init))
      if (view !== undefined) views.set(node, view)
      return view
    }
    let last: Step | undefined
    for await (const step of walk(source, target, { cluster: await readCluster(client), host, protocol, zone, clusterDns: rangesOf(cluster.ipFamily)[0].clusterDns })) {
      print(stepText(step))
      last = step
    }
    if (last?.mark !== 'good') process.exitCode = 1
  } finally {
    close()
  }
}

function stepText({ mark, subject, text, inner = false }: Step): string {
  return `${inner && subject !== 'endpoint' ? '    ' : inner ? '  ' : ''}${signs[mark]} ${subject.padEnd(subjectWidth)}  ${text}`
}
