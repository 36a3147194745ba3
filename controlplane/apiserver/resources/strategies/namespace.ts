// Namespaces: each is held by the finalizer `kubernetes` until everything in it is gone.
import type { Namespace } from '../../../../api/types.ts'
import { validateNamespace } from '../validation/config.ts'
import { strategyOf } from './rules.ts'

const finalizer = 'kubernetes'
const nameLabel = 'kubernetes.io/metadata.name'

export const namespaceStrategy = strategyOf<Namespace>(
  {
    defaults(namespace) {
      const { metadata } = namespace
      if (metadata.name !== undefined) metadata.labels = { ...metadata.labels, [nameLabel]: metadata.name }
      namespace.spec ??= {}
    },
    validate: validateNamespace,
    // Not called for the subresource `finalize`, by which alone finalizers change.
    validateUpdate(namespace, old) {
      const { finalizers: _given, ...spec } = namespace.spec ?? {}
      namespace.spec = old.spec?.finalizers === undefined ? spec : { ...spec, finalizers: [...old.spec.finalizers] }
    },
  },
  {
    prepareForCreate(namespace) {
      const { spec = {} } = namespace
      namespace.spec = { ...spec, finalizers: [...new Set([...(spec.finalizers ?? []), finalizer])] }
      namespace.status = { phase: 'Active' }
    },
    prepareForStatusUpdate(namespace, old) {
      // Who reports on the way out cannot bring it back.
      if (old.metadata.deletionTimestamp !== undefined) namespace.status = { ...namespace.status, phase: 'Terminating' }
    },
  },
)
