/** Groups discovery, coordination, certificates, rbac, authentication and others, as far as Fairway's parts read or write them. */
import type { Condition, KubeObject } from './meta.ts'
import type { ObjectReference } from './core.ts'

export interface EndpointConditions {
  ready?: boolean
  serving?: boolean
  terminating?: boolean
}

export interface Endpoint {
  addresses: string[]
  conditions?: EndpointConditions
  hostname?: string
  nodeName?: string
  zone?: string
  targetRef?: ObjectReference
  hints?: { forZones?: { name: string }[]; forNodes?: { name: string }[] }
  deprecatedTopology?: Record<string, string>
}

export interface EndpointPort {
  name?: string
  port?: number
  protocol?: 'TCP' | 'UDP' | 'SCTP'
  appProtocol?: string
}

export interface EndpointSlice extends KubeObject {
  addressType: 'IPv4' | 'IPv6' | 'FQDN'
  endpoints?: Endpoint[] | null
  ports?: EndpointPort[] | null
}

export interface Lease extends KubeObject {
  spec?: {
    holderIdentity?: string
    leaseDurationSeconds?: number
    acquireTime?: string
    renewTime?: string
    leaseTransitions?: number
  }
}

export interface CertificateSigningRequest extends KubeObject {
  spec: {
    /** PKCS#10 in PEM, in base64. */
    request: string
    signerName: string
    usages?: string[]
    expirationSeconds?: number
    username?: string
    uid?: string
    groups?: string[]
    extra?: Record<string, string[]>
  }
  status?: {
    conditions?: Condition[]
    /** PEM in base64. */
    certificate?: string
  }
}

export interface PolicyRule {
  apiGroups?: string[]
  resources?: string[]
  resourceNames?: string[]
  nonResourceURLs?: string[]
  verbs: string[]
}

export interface Role extends KubeObject {
  rules?: PolicyRule[] | null
}

export interface ClusterRole extends Role {
  aggregationRule?: unknown
}

export interface Subject {
  kind: 'User' | 'Group' | 'ServiceAccount'
  apiGroup?: string
  name: string
  namespace?: string
}

export interface RoleBinding extends KubeObject {
  subjects?: Subject[]
  roleRef: { apiGroup: string; kind: 'Role' | 'ClusterRole'; name: string }
}

export type ClusterRoleBinding = RoleBinding

export interface TokenRequest extends KubeObject {
  spec: {
    audiences?: string[]
    expirationSeconds?: number
    boundObjectRef?: { kind?: string; apiVersion?: string; name?: string; uid?: string }
  }
  status?: { token: string; expirationTimestamp: string }
}

export interface Scale extends KubeObject {
  spec?: { replicas?: number }
  status?: { replicas: number; selector?: string }
}

/** A kind that no part of Fairway looks into. */
export interface AnyObject extends KubeObject {
  [field: string]: unknown
}
