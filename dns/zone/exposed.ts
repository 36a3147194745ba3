/** Which of the cluster's objects have names: all, unless fewer are asked for. As options of CoreDNS's kubernetes plugin. */
export interface Exposed {
  /** Those of these namespaces alone; none named: of all. */
  readonly namespaces: readonly string[]
  /** Services that have these labels, and namespaces that have those: label selectors, empty for all. */
  readonly labels: string
  readonly namespaceLabels: string
  /** Whether endpoints have names, and headless services, which are made of them. */
  readonly endpoints: boolean
  /** Whether services with an address and without a ready endpoint have none. */
  readonly ignoreEmptyServices: boolean
  /** Whether an endpoint without a hostname has the name of its pod; else its address with dashes. */
  readonly endpointPodNames: boolean
}

export const everything: Exposed = { namespaces: [], labels: '', namespaceLabels: '', endpoints: true, ignoreEmptyServices: false, endpointPodNames: false }
