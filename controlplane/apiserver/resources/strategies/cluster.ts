// Network, storage, access, and what keeps a cluster together.
import type { AnyObject, CertificateSigningRequest, ClusterRole, Endpoints, EndpointSlice, Lease, LimitRange, NetworkPolicy, Role, RoleBinding } from '../../../../api/types.ts'
import { cloneJson } from '../../object.ts'
import {
  defaultEndpoints, defaultEndpointSlice, defaultLimitRange, defaultNetworkPolicy, defaultPersistentVolume,
  defaultPriorityClass, defaultRoleBinding, defaultStorageClass,
} from '../defaults/other.ts'
import { defaultClaim } from '../defaults/workload.ts'
import { validateBinding, validateBindingUpdate, validateClusterRole, validateRole, validateSigningRequest } from '../validation/access.ts'
import { validateEndpoints, validateEndpointSlice, validateEndpointSliceUpdate, validateLease } from '../validation/network.ts'
import { validateIngress } from '../validation/ingress.ts'
import { validateNetworkPolicy } from '../validation/network-policy.ts'
import { validateLimitRange, validateQuota, validateQuotaUpdate } from '../validation/quota.ts'
import { validateClaim, validateClaimUpdate, validatePriorityClass, validatePriorityClassUpdate, validateStorageClass, validateStorageClassUpdate, validateVolume, validateVolumeUpdate } from '../validation/storage.ts'
import { strategyOf } from './rules.ts'

export const endpointsStrategy = strategyOf<Endpoints>({ defaults: defaultEndpoints, validate: validateEndpoints })
export const endpointSliceStrategy = strategyOf<EndpointSlice>({ defaults: defaultEndpointSlice, validate: validateEndpointSlice, validateUpdate: validateEndpointSliceUpdate })
export const leaseStrategy = strategyOf<Lease>({ validate: validateLease })
export const ingressStrategy = strategyOf<AnyObject>({ validate: validateIngress })
export const networkPolicyStrategy = strategyOf<NetworkPolicy>({ defaults: defaultNetworkPolicy, validate: validateNetworkPolicy })
export const roleStrategy = strategyOf<Role>({ validate: validateRole })
export const clusterRoleStrategy = strategyOf<ClusterRole>({ validate: validateClusterRole })
export const roleBindingStrategy = strategyOf<RoleBinding>({
  defaults: defaultRoleBinding,
  validate: (binding, errors) => validateBinding(binding, ['ClusterRole', 'Role'], errors),
  validateUpdate: validateBindingUpdate,
})
export const clusterRoleBindingStrategy = strategyOf<RoleBinding>({
  defaults: defaultRoleBinding,
  validate: (binding, errors) => validateBinding(binding, ['ClusterRole'], errors),
  validateUpdate: validateBindingUpdate,
})
export const limitRangeStrategy = strategyOf<LimitRange>({ defaults: defaultLimitRange, validate: validateLimitRange })
export const quotaStrategy = strategyOf<AnyObject>({ validate: validateQuota, validateUpdate: validateQuotaUpdate })
export const storageClassStrategy = strategyOf<AnyObject>({ defaults: defaultStorageClass, validate: validateStorageClass, validateUpdate: validateStorageClassUpdate })
export const priorityClassStrategy = strategyOf<AnyObject>({ defaults: defaultPriorityClass, validate: validatePriorityClass, validateUpdate: validatePriorityClassUpdate })
export const volumeStrategy = strategyOf<AnyObject>(
  { defaults: defaultPersistentVolume, validate: validateVolume, validateUpdate: validateVolumeUpdate },
  {
    prepareForCreate(volume) {
      volume['status'] = { phase: 'Pending' }
    },
  },
)
export const claimStrategy = strategyOf<AnyObject>({ defaults: defaultClaim, validate: validateClaim, validateUpdate: validateClaimUpdate })

export const signingRequestStrategy = strategyOf<CertificateSigningRequest>(
  { validate: validateSigningRequest },
  {
    prepareForCreate(request, { user }) {
      const { request: pem, signerName, usages, expirationSeconds } = request.spec ?? { request: '', signerName: '' }
      // Who asks is what the server knows, not what the request says.
      request.spec = {
        request: pem,
        signerName,
        ...(usages === undefined ? {} : { usages }),
        ...(expirationSeconds === undefined ? {} : { expirationSeconds }),
        username: user.name,
        ...(user.uid === undefined ? {} : { uid: user.uid }),
        groups: [...user.groups],
        ...(user.extra === undefined ? {} : { extra: Object.fromEntries(Object.entries(user.extra).map(([key, values]) => [key, [...values]])) }),
      }
    },
    prepareForUpdate(request, old) {
      request.spec = cloneJson(old.spec)
    },
  },
)
