// Config maps, secrets, nodes, events and the like.
import type { ConfigMap, Event, Node, Secret } from '../../../../api/types.ts'
import { validateConfigMap, validateImmutable, validateNode, validateNodeUpdate, validateSecret } from '../validation/config.ts'
import { validateEvent } from '../validation/network.ts'
import { strategyOf } from './rules.ts'

export const configMapStrategy = strategyOf<ConfigMap>({ validate: validateConfigMap, validateUpdate: validateImmutable })

export const secretStrategy = strategyOf<Secret>({
  defaults(secret) {
    // Written in the clear, kept in base64; never read back.
    for (const [key, value] of Object.entries(secret.stringData ?? {})) secret.data = { ...secret.data, [key]: Buffer.from(value).toString('base64') }
    delete secret.stringData
    secret.type ??= 'Opaque'
  },
  validate: validateSecret,
  validateUpdate(secret, old, errors) {
    if (secret.type !== old.type) errors.immutable('type', secret.type)
    validateImmutable(secret, old, errors)
  },
})

const notReady = 'node.kubernetes.io/not-ready'

export const nodeStrategy = strategyOf<Node>(
  {
    defaults(node) {
      const spec = (node.spec ??= {})
      if (spec.podCIDR !== undefined && spec.podCIDR !== '') spec.podCIDRs ??= [spec.podCIDR]
      else if (spec.podCIDRs?.[0] !== undefined) spec.podCIDR = spec.podCIDRs[0]
    },
    validate: validateNode,
    validateUpdate: validateNodeUpdate,
  },
  {
    prepareForCreate({ spec }) {
      // TaintNodesByCondition: no pod is placed on a node before it has said that it is ready; the node life cycle takes the taint away.
      if (!(spec.taints ?? []).some(({ key, effect }) => key === notReady && effect === 'NoSchedule')) spec.taints = [...(spec.taints ?? []), { key: notReady, effect: 'NoSchedule' }]
    },
  },
)

export const eventStrategy = strategyOf<Event>({
  defaults(event) {
    event.involvedObject ??= {}
  },
  validate: validateEvent,
})
