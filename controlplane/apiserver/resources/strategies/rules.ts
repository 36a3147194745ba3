// Strategies put together from defaults and validation.
import type { KubeObject } from '../../../../api/types.ts'
import type { Strategy, WriteContext } from '../../descriptor.ts'
import { FieldErrors } from '../validation/errors.ts'

interface Rules<T extends KubeObject> {
  readonly defaults?: (object: T) => void
  /** With the old object where it is an update. */
  readonly validate?: (object: T, errors: FieldErrors, old?: T) => void
  /** Only what depends on the old object. */
  readonly validateUpdate?: (object: T, old: T, errors: FieldErrors) => void
  readonly warnings?: (object: T) => string[]
}

type Hooks<T extends KubeObject> = Omit<Strategy<T>, 'applyDefaults' | 'validate' | 'validateUpdate' | 'warnings'>

export function strategyOf<T extends KubeObject>({ defaults, validate, validateUpdate, warnings }: Rules<T>, hooks: Hooks<T> = {}): Strategy<T> {
  return {
    ...hooks,
    ...(defaults === undefined ? {} : { applyDefaults: defaults }),
    ...(warnings === undefined ? {} : { warnings }),
    ...(validate === undefined
      ? {}
      : {
          validate: (object: T, _context: WriteContext, old?: T) => {
            const errors = new FieldErrors()
            validate(object, errors, old)
            return errors.list
          },
        }),
    ...(validateUpdate === undefined
      ? {}
      : {
          validateUpdate: (object: T, old: T) => {
            const errors = new FieldErrors()
            validateUpdate(object, old, errors)
            return errors.list
          },
        }),
  }
}
