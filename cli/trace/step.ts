/** What a trace says, and what its parts hand to each other. */
import type { ClusterView } from './cluster-view.ts'
import type { HostView, NamespaceView } from './host-view.ts'

export type Protocol = 'tcp' | 'udp'

export interface Step {
  /** `note` says something that is neither right nor wrong. */
  readonly mark: 'good' | 'bad' | 'note'
  readonly subject: string
  readonly text: string
  /** A way of its own within the whole: one of several endpoints. */
  readonly inner?: boolean
}

export interface TraceOptions {
  readonly cluster: ClusterView
  /** A host as far as it can be looked at from here. */
  readonly host: (node: string) => HostView | undefined
  /** Default: that of the service's port, or TCP. */
  readonly protocol?: Protocol | undefined
  readonly zone: string
  readonly clusterDns: string
}

/** Where packets start. */
export interface Start {
  readonly node: string
  readonly host: HostView
  /** The first of its addresses. */
  readonly address: string
  readonly addresses: readonly string[]
  readonly inside: NamespaceView
}

export interface Destination {
  readonly address: string
  readonly port: number
  readonly protocol: Protocol
}
