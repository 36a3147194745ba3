// Namespaces: each is held by the finalizer `kubernetes` until everything in it is gone.
import type { Namespace } from '../../../../api/types.ts'
import type { Strategy } from '../../descriptor.ts'

const finalizer = 'kubernetes'
const nameLabel = 'kubernetes.io/metadata.name'

export const namespaceStrategy: Strategy<Namespace> = {
  applyDefaults(namespace) {
    const { metadata } = namespace
    if (metadata.name !== undefined) metadata.labels = { ...metadata.labels, [nameLabel]: metadata.name }
    namespace.spec ??= {}
  },
  prepareForCreate(namespace) {
    const { spec = {} } = namespace
    namespace.spec = { ...spec, finalizers: [...new Set([...(spec.finalizers ?? []), finalizer])] }
    namespace.status = { phase: 'Active' }
  },
  prepareForUpdate(namespace, old) {
    // Finalizers are changed by the subresource `finalize` alone, which begins with the old object too: it only takes away.
    const finalizers = (namespace.spec?.finalizers ?? []).filter((one) => old.spec?.finalizers?.includes(one))
    namespace.spec = { ...namespace.spec, finalizers }
  },
}
