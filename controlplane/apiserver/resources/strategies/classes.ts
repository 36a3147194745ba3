// Classes, drivers and what is known of them, attachments and revisions.
import type { AnyObject } from '../../../../api/types.ts'
import { defaultCSIDriver, defaultIngressClass } from '../defaults/other.ts'
import {
  validateAttachment, validateAttachmentUpdate, validateCapacity, validateCapacityUpdate, validateCSIDriver, validateCSIDriverUpdate, validateCSINode, validateIngressClass, validateIngressClassUpdate,
  validateRevision, validateRevisionUpdate, validateRuntimeClass, validateRuntimeClassUpdate,
} from '../validation/classes.ts'
import { strategyOf } from './rules.ts'

export const runtimeClassStrategy = strategyOf<AnyObject>({ validate: validateRuntimeClass, validateUpdate: validateRuntimeClassUpdate })
export const ingressClassStrategy = strategyOf<AnyObject>({ defaults: defaultIngressClass, validate: validateIngressClass, validateUpdate: validateIngressClassUpdate })
export const csiDriverStrategy = strategyOf<AnyObject>({ defaults: defaultCSIDriver, validate: validateCSIDriver, validateUpdate: validateCSIDriverUpdate })
export const csiNodeStrategy = strategyOf<AnyObject>({ validate: validateCSINode })
export const storageCapacityStrategy = strategyOf<AnyObject>({ validate: validateCapacity, validateUpdate: validateCapacityUpdate })
export const volumeAttachmentStrategy = strategyOf<AnyObject>({ validate: validateAttachment, validateUpdate: validateAttachmentUpdate })
export const controllerRevisionStrategy = strategyOf<AnyObject>({ validate: validateRevision, validateUpdate: validateRevisionUpdate })
