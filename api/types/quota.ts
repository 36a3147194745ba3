/** Limits and quotas of a namespace (core/v1). */
import type { KubeObject, Resources } from './meta.ts'

export interface LimitRange extends KubeObject {
  spec: { limits: { type: string; max?: Resources; min?: Resources; default?: Resources; defaultRequest?: Resources }[] }
}

export interface ResourceQuota extends KubeObject {
  spec: { hard?: Resources; scopes?: string[] }
  status?: { hard?: Resources; used?: Resources }
}
