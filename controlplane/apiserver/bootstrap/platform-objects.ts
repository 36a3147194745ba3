// What every cluster begins with beside roles and namespaces: the mandatory objects of flow control, the service range, and what an
// aggregated API server has to know of us.
import type { KubeObject, Role } from '../../../api/types.ts'
import { frontProxyName } from '../pki/credentials.ts'

type Json = Record<string, unknown>

const everyone = ['system:unauthenticated', 'system:authenticated'].map((name) => ({ kind: 'Group', group: { name } }))

function rules(subjects: readonly Json[]): Json[] {
  return [{ subjects, resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'], clusterScope: true, namespaces: ['*'] }], nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }] }]
}

/** Those without which API Priority and Fairness does not work (pkg/apis/flowcontrol/bootstrap, `MandatoryFlowSchemas`). */
export const flowSchemas: readonly KubeObject[] = [
  { metadata: { name: 'exempt' }, spec: { matchingPrecedence: 1, priorityLevelConfiguration: { name: 'exempt' }, rules: rules([{ kind: 'Group', group: { name: 'system:masters' } }]) } },
  { metadata: { name: 'catch-all' }, spec: { matchingPrecedence: 10_000, distinguisherMethod: { type: 'ByUser' }, priorityLevelConfiguration: { name: 'catch-all' }, rules: rules(everyone) } },
] as unknown as readonly KubeObject[]

export const priorityLevels: readonly KubeObject[] = [
  { metadata: { name: 'exempt' }, spec: { type: 'Exempt', exempt: { nominalConcurrencyShares: 0, lendablePercent: 0 } } },
  { metadata: { name: 'catch-all' }, spec: { type: 'Limited', limited: { nominalConcurrencyShares: 5, lendablePercent: 0, limitResponse: { type: 'Reject' } } } },
] as unknown as readonly KubeObject[]

export function serviceRange(cidrs: readonly string[]): KubeObject {
  return { metadata: { name: 'kubernetes' }, spec: { cidrs } } as unknown as KubeObject
}

/** How an aggregated API server knows us, and whose word we pass on (`--requestheader-…`, `--client-ca-file`). */
export function extensionAuthentication(clientCa: string, frontProxyCa: string): Record<string, string> {
  return {
    'client-ca-file': clientCa,
    'requestheader-client-ca-file': frontProxyCa,
    'requestheader-allowed-names': JSON.stringify([frontProxyName]),
    'requestheader-username-headers': JSON.stringify(['X-Remote-User']),
    'requestheader-uid-headers': JSON.stringify(['X-Remote-Uid']),
    'requestheader-group-headers': JSON.stringify(['X-Remote-Group']),
    'requestheader-extra-headers-prefix': JSON.stringify(['X-Remote-Extra-']),
  }
}

/** An aggregated API server is bound to it by whoever installs it. */
export const extensionAuthenticationReader: Role = {
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'Role',
  metadata: { name: 'extension-apiserver-authentication-reader', namespace: 'kube-system', labels: { 'kubernetes.io/bootstrapping': 'rbac-defaults' }, annotations: { 'rbac.authorization.kubernetes.io/autoupdate': 'true' } },
  rules: [{ apiGroups: [''], resources: ['configmaps'], resourceNames: ['extension-apiserver-authentication'], verbs: ['get', 'list', 'watch'] }],
}
