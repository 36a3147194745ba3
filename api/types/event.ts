/** Events and bindings (core/v1): small records about other objects. */
import type { ObjectReference } from './core.ts'
import type { KubeObject } from './meta.ts'

export interface Event extends KubeObject {
  involvedObject: ObjectReference
  reason?: string
  message?: string
  source?: { component?: string; host?: string }
  firstTimestamp?: string | null
  lastTimestamp?: string | null
  eventTime?: string | null
  count?: number
  type?: 'Normal' | 'Warning'
  action?: string
  reportingComponent?: string
  reportingInstance?: string
}

export interface Binding extends KubeObject {
  target: ObjectReference
}
