// What says how a cluster is served: API services, flow control, service ranges, devices, and events as events.k8s.io has them.
import type { AnyObject } from '../../../../api/types.ts'
import { cloneJson, isRecord, setValueAt, timestamp, valueAt } from '../../object.ts'
import {
  validateApiService, validateAttributesClass, validateAttributesClassUpdate, validateClaimUpdate, validateFlowSchema, validateIpAddress, validateIpAddressUpdate, validateNewEvent,
  validatePriorityLevel, validateResourceClaim, validateServiceCidr, validateServiceCidrUpdate, validateSlice, validateSliceUpdate,
} from '../validation/platform.ts'
import { strategyOf } from './rules.ts'

/** Sets what is missing below something that is there. */
function fill(object: AnyObject, below: string, values: Readonly<Record<string, unknown>>): void {
  if (!isRecord(valueAt(object, below))) return
  for (const [field, value] of Object.entries(values)) if (valueAt(object, `${below}.${field}`) === undefined) setValueAt(object, `${below}.${field}`, value)
}

/** A status is what its controller says, not who creates the object. */
function withoutStatus(object: AnyObject): void {
  object['status'] = {}
}

export const apiServiceStrategy = strategyOf<AnyObject>(
  { defaults: (object) => fill(object, '.spec.service', { port: 443 }), validate: validateApiService },
  {
    prepareForCreate(object, { now }) {
      // What this server serves itself is there as long as it is.
      const local = { type: 'Available', status: 'True', lastTransitionTime: timestamp(now), reason: 'Local', message: 'Local APIServices are always available' }
      object['status'] = isRecord(valueAt(object, '.spec.service')) ? {} : { conditions: [local] }
    },
  },
)

export const flowSchemaStrategy = strategyOf<AnyObject>(
  { defaults: (object) => fill(object, '.spec', { matchingPrecedence: 1000 }), validate: validateFlowSchema },
  { prepareForCreate: withoutStatus },
)

export const priorityLevelStrategy = strategyOf<AnyObject>(
  {
    defaults(object) {
      if (valueAt(object, '.spec.type') === 'Exempt') {
        if (valueAt(object, '.spec.exempt') === undefined) setValueAt(object, '.spec.exempt', {})
        fill(object, '.spec.exempt', { nominalConcurrencyShares: 0, lendablePercent: 0 })
      }
      fill(object, '.spec.limited', { nominalConcurrencyShares: 30, lendablePercent: 0 })
      fill(object, '.spec.limited.limitResponse.queuing', { queues: 64, handSize: 8, queueLengthLimit: 50 })
    },
    validate: validatePriorityLevel,
  },
  { prepareForCreate: withoutStatus },
)

export const serviceCidrStrategy = strategyOf<AnyObject>({ validate: validateServiceCidr, validateUpdate: validateServiceCidrUpdate }, { prepareForCreate: withoutStatus })
export const ipAddressStrategy = strategyOf<AnyObject>({ validate: validateIpAddress, validateUpdate: validateIpAddressUpdate })
export const attributesClassStrategy = strategyOf<AnyObject>({ validate: validateAttributesClass, validateUpdate: validateAttributesClassUpdate })

const isNewEvent = (event: AnyObject): boolean => event['deprecatedCount'] === undefined && event['deprecatedFirstTimestamp'] === undefined && event['deprecatedSource'] === undefined

export const newEventStrategy = strategyOf<AnyObject>({
  // What was written in the core group's form has less, and may be written again.
  validate: (event, errors) => (isNewEvent(event) ? validateNewEvent(event, errors) : undefined),
})

export const resourceSliceStrategy = strategyOf<AnyObject>({ validate: validateSlice, validateUpdate: validateSliceUpdate })

function defaultRequests(spec: unknown): void {
  const requests = valueAt(spec, '.devices.requests')
  for (const request of Array.isArray(requests) ? requests : []) {
    const exactly: unknown = isRecord(request) ? request['exactly'] : undefined
    if (!isRecord(exactly)) continue
    exactly['allocationMode'] ??= 'ExactCount'
    if (exactly['allocationMode'] === 'ExactCount') exactly['count'] ??= 1
  }
}

export const resourceClaimStrategy = strategyOf<AnyObject>(
  { defaults: ({ spec }) => defaultRequests(spec), validate: ({ spec }, errors) => validateResourceClaim(spec, 'spec', errors), validateUpdate: validateClaimUpdate },
  { prepareForCreate: withoutStatus },
)

export const resourceClaimTemplateStrategy = strategyOf<AnyObject>({
  defaults: (template) => defaultRequests(valueAt(template, '.spec.spec')),
  validate: (template, errors) => validateResourceClaim(valueAt(template, '.spec.spec'), 'spec.spec', errors),
  validateUpdate: validateClaimUpdate,
})

/** A status written by the scheduler or a driver never changes what was asked for. */
export const deviceClassStrategy = strategyOf<AnyObject>({
  defaults(object) {
    object['spec'] ??= cloneJson({})
  },
})
