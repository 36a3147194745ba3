// Rows of the remaining groups: network, storage, access, and what keeps a cluster together.
import type { CertificateSigningRequest } from '../../../api/types.ts'
import { definitionStrategy } from '../custom/definition.ts'
import type { ResourceDescriptor } from '../descriptor.ts'
import {
  bindingColumns, certificateSigningRequestColumns, createdAt, csiDriverColumns, csiNodeColumns, csiStorageCapacityColumns, endpointSliceColumns,
  ingressClassColumns, ingressColumns, leaseColumns, networkPolicyColumns, priorityClassColumns, runtimeClassColumns, storageClassColumns, volumeAttachmentColumns,
} from './columns/cluster.ts'
import { rowsOf } from './row.ts'
import { csiDriverStrategy, csiNodeStrategy, ingressClassStrategy, runtimeClassStrategy, storageCapacityStrategy, volumeAttachmentStrategy } from './strategies/classes.ts'
import {
  clusterRoleBindingStrategy, clusterRoleStrategy, endpointSliceStrategy, ingressStrategy, leaseStrategy, networkPolicyStrategy,
  priorityClassStrategy, roleBindingStrategy, roleStrategy, signingRequestStrategy, storageClassStrategy,
} from './strategies/cluster.ts'

export function clusterRows(): ResourceDescriptor[] {
  const networking = rowsOf('networking.k8s.io', 'v1')
  return [
    ...reviewRows(),
    rowsOf('apiextensions.k8s.io', 'v1').cluster('CustomResourceDefinition', 'customresourcedefinitions', createdAt, {
      shortNames: ['crd', 'crds'], categories: ['api-extensions'], subresources: ['status'], strategy: definitionStrategy,
    }),
    rowsOf('certificates.k8s.io', 'v1').cluster('CertificateSigningRequest', 'certificatesigningrequests', certificateSigningRequestColumns, {
      shortNames: ['csr'],
      subresources: ['approval', 'status'],
      strategy: signingRequestStrategy,
      fieldSelectors: { 'spec.signerName': (object) => (object as CertificateSigningRequest).spec.signerName },
    }),
    rowsOf('coordination.k8s.io', 'v1').namespaced('Lease', 'leases', leaseColumns, { strategy: leaseStrategy }),
    rowsOf('discovery.k8s.io', 'v1').namespaced('EndpointSlice', 'endpointslices', endpointSliceColumns, { strategy: endpointSliceStrategy }),
    networking.cluster('IngressClass', 'ingressclasses', ingressClassColumns, { strategy: ingressClassStrategy }),
    networking.namespaced('Ingress', 'ingresses', ingressColumns, { shortNames: ['ing'], subresources: ['status'], strategy: ingressStrategy }),
    networking.namespaced('NetworkPolicy', 'networkpolicies', networkPolicyColumns, { shortNames: ['netpol'], strategy: networkPolicyStrategy }),
    rowsOf('node.k8s.io', 'v1').cluster('RuntimeClass', 'runtimeclasses', runtimeClassColumns, { strategy: runtimeClassStrategy }),
    ...accessRows(),
    rowsOf('scheduling.k8s.io', 'v1').cluster('PriorityClass', 'priorityclasses', priorityClassColumns, { shortNames: ['pc'], strategy: priorityClassStrategy }),
    ...storageRows(),
  ]
}

/** Nothing of these is kept: the server answers a create. */
function reviewRows(): ResourceDescriptor[] {
  const authentication = rowsOf('authentication.k8s.io', 'v1')
  const authorization = rowsOf('authorization.k8s.io', 'v1')
  return [
    authentication.virtual('SelfSubjectReview', 'selfsubjectreviews', 'cluster'),
    authentication.virtual('TokenReview', 'tokenreviews', 'cluster'),
    authorization.virtual('LocalSubjectAccessReview', 'localsubjectaccessreviews', 'namespaced'),
    authorization.virtual('SelfSubjectAccessReview', 'selfsubjectaccessreviews', 'cluster'),
    authorization.virtual('SelfSubjectRulesReview', 'selfsubjectrulesreviews', 'cluster'),
    authorization.virtual('SubjectAccessReview', 'subjectaccessreviews', 'cluster'),
  ]
}

function accessRows(): ResourceDescriptor[] {
  const rbac = rowsOf('rbac.authorization.k8s.io', 'v1')
  return [
    rbac.cluster('ClusterRoleBinding', 'clusterrolebindings', bindingColumns, { strategy: clusterRoleBindingStrategy }),
    rbac.cluster('ClusterRole', 'clusterroles', createdAt, { strategy: clusterRoleStrategy }),
    rbac.namespaced('RoleBinding', 'rolebindings', bindingColumns, { strategy: roleBindingStrategy }),
    rbac.namespaced('Role', 'roles', createdAt, { strategy: roleStrategy }),
  ]
}

function storageRows(): ResourceDescriptor[] {
  const storage = rowsOf('storage.k8s.io', 'v1')
  return [
    storage.cluster('CSIDriver', 'csidrivers', csiDriverColumns, { strategy: csiDriverStrategy }),
    storage.cluster('CSINode', 'csinodes', csiNodeColumns, { strategy: csiNodeStrategy }),
    storage.namespaced('CSIStorageCapacity', 'csistoragecapacities', csiStorageCapacityColumns, { strategy: storageCapacityStrategy }),
    storage.cluster('StorageClass', 'storageclasses', storageClassColumns, { shortNames: ['sc'], strategy: storageClassStrategy }),
    storage.cluster('VolumeAttachment', 'volumeattachments', volumeAttachmentColumns, { subresources: ['status'], strategy: volumeAttachmentStrategy }),
  ]
}
