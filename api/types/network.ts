/** networking.k8s.io, as far as Fairway's parts read it. */
import type { IntOrString, KubeObject, LabelSelector } from './meta.ts'

export interface NetworkPolicyPeer {
  podSelector?: LabelSelector
  namespaceSelector?: LabelSelector
  ipBlock?: { cidr: string; except?: string[] }
}

export interface NetworkPolicyPort {
  protocol?: 'TCP' | 'UDP' | 'SCTP'
  /** A number, or the name of a container's port. */
  port?: IntOrString
  endPort?: number
}

export interface NetworkPolicyIngressRule {
  from?: NetworkPolicyPeer[]
  ports?: NetworkPolicyPort[]
}

export interface NetworkPolicyEgressRule {
  to?: NetworkPolicyPeer[]
  ports?: NetworkPolicyPort[]
}

export interface NetworkPolicy extends KubeObject {
  spec?: {
    podSelector?: LabelSelector
    policyTypes?: ('Ingress' | 'Egress')[]
    ingress?: NetworkPolicyIngressRule[]
    egress?: NetworkPolicyEgressRule[]
  }
}
