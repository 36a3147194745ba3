// MutatingAdmissionWebhook and ValidatingAdmissionWebhook: others who are asked over HTTPS before something is written.
import type { Logger } from '../../../api/log.ts'
import type { LabelSelector } from '../../../api/types.ts'
import type { Authorizer } from '../authorization/rbac.ts'
import type { ResourceDescriptor } from '../descriptor.ts'
import { equalJson } from '../object.ts'
import type { ApiObject } from '../object.ts'
import type { ClientConfig, Outbound } from '../outbound.ts'
import { jsonPatch } from '../patch/merge.ts'
import type { Registry } from '../registry.ts'
import { checkFields } from '../schema/index.ts'
import { badRequest, forbidden, internalError, StatusError } from '../status.ts'
import { conditionsHold, scopeOf } from './expressions.ts'
import type { MatchCondition } from './expressions.ts'
import { converted, isExempt, matches } from './matching.ts'
import type { Rule } from './matching.ts'
import type { AdmissionRequest } from './request.ts'
import { denial, reviewOf, reviewRequest, verdictOf } from './review.ts'
import type { Verdict } from './review.ts'
import type { Rounds } from './rounds.ts'

interface Webhook {
  readonly name: string
  readonly clientConfig: ClientConfig
  readonly rules?: readonly Rule[]
  readonly failurePolicy?: string
  readonly matchPolicy?: string
  readonly namespaceSelector?: LabelSelector
  readonly objectSelector?: LabelSelector
  readonly sideEffects?: string
  readonly timeoutSeconds?: number
  readonly admissionReviewVersions?: readonly string[]
  readonly matchConditions?: readonly MatchCondition[]
  readonly reinvocationPolicy?: string
}

/** One webhook of one configuration. */
interface Hook {
  readonly webhook: Webhook
  /** The same from one round to the next. */
  readonly id: string
  readonly configuration: string
}

export interface WebhookOptions {
  readonly outbound: Outbound
  readonly registry: Registry
  readonly authorizer: Authorizer
  readonly log: Logger
}

const group = 'admissionregistration.k8s.io'

function hooksOf({ context }: AdmissionRequest, resource: string): readonly Hook[] {
  return context
    .list(`${resource}.${group}`)
    .toSorted((a, b) => ((a.metadata.name ?? '') < (b.metadata.name ?? '') ? -1 : 1))
    .flatMap((configuration) => {
      const { webhooks = [] } = configuration as unknown as { webhooks?: readonly Webhook[] }
      const name = configuration.metadata.name ?? ''
      return webhooks.map((webhook, i) => ({ webhook, id: `webhook/${name}/${webhook.name}/${i}`, configuration: name }))
    })
}

export class Webhooks {
  readonly #options: WebhookOptions

  constructor(options: WebhookOptions) {
    this.#options = options
  }

  /** Asks those of a round. Undefined when there is nobody to ask. */
  mutate(request: AdmissionRequest, rounds: Rounds): Promise<void> | undefined {
    if (request.origin === undefined || isExempt(request)) return undefined
    const hooks = hooksOf(request, 'mutatingwebhookconfigurations').filter(({ id }) => rounds.wants(id))
    return hooks.length === 0 ? undefined : this.#mutateInTurn(request, hooks, rounds)
  }

  async #mutateInTurn(request: AdmissionRequest, hooks: readonly Hook[], rounds: Rounds): Promise<void> {
    for (const hook of hooks) {
      const outcome = await this.#mutateBy(hook, request, rounds.number)
      if (outcome === 'changed') rounds.changed(true)
      if (outcome !== undefined && hook.webhook.reinvocationPolicy === 'IfNeeded') rounds.asked(hook.id)
    }
  }

  async #mutateBy(hook: Hook, request: AdmissionRequest, round: number): Promise<'changed' | 'same' | undefined> {
    const { webhook, configuration } = hook
    const as = this.#wants(webhook, request)
    if (as === undefined) return undefined
    const { descriptor, object, origin } = request
    const verdict = await this.#call(webhook, request, as, true)
    const note = (isMutated: boolean): void => origin?.annotate(`mutation.webhook.admission.k8s.io/round_${round}_index_${this.#indexOf(request, hook)}`, JSON.stringify({ configuration, webhook: webhook.name, mutated: isMutated }))
    if (verdict?.patch === undefined) {
      if (verdict !== undefined) note(false)
      return 'same'
    }
    if (object === undefined) throw internalError(`admission webhook ${JSON.stringify(webhook.name)} attempted to modify the object, which is not supported for this operation`)
    const patched = this.#patched(webhook, await converted(object, descriptor, as), verdict.patch)
    const back = await converted(patched, as, descriptor)
    const next = request.kind === descriptor ? held(descriptor, back) : back
    const isMutated = !equalJson(next, object)
    note(isMutated)
    if (isMutated) request.object = next
    return isMutated ? 'changed' : 'same'
  }

  #indexOf(request: AdmissionRequest, { id }: Hook): number {
    return hooksOf(request, 'mutatingwebhookconfigurations').findIndex((hook) => hook.id === id)
  }

  #patched({ name }: Webhook, object: ApiObject, patch: unknown): ApiObject {
    try {
      return jsonPatch(object, patch) as ApiObject
    } catch (error) {
      throw internalError(`the patch of admission webhook ${JSON.stringify(name)} does not apply: ${(error as Error).message}`)
    }
  }

  /** All at once; of several refusals, that of the first by name counts. */
  validate(request: AdmissionRequest): Promise<void> | undefined {
    if (request.origin === undefined || isExempt(request)) return undefined
    const hooks = hooksOf(request, 'validatingwebhookconfigurations')
    return hooks.length === 0 ? undefined : this.#validateAtOnce(request, hooks)
  }

  async #validateAtOnce(request: AdmissionRequest, hooks: readonly Hook[]): Promise<void> {
    const wanting = hooks.map(({ webhook }) => ({ webhook, as: this.#wants(webhook, request) }))
    const outcomes = await Promise.allSettled(wanting.map(async ({ webhook, as }) => (as === undefined ? undefined : this.#call(webhook, request, as, false))))
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
  }

  /** As which resource a webhook wants to be asked, if it does. */
  #wants(webhook: Webhook, request: AdmissionRequest): ResourceDescriptor | undefined {
    const as = matches(webhook, request, this.#options.registry)
    const { matchConditions = [], failurePolicy } = webhook
    if (as === undefined || matchConditions.length === 0) return as
    const scope = scopeOf(request, reviewRequest(request, request.descriptor, request), this.#options.authorizer)
    const holds = conditionsHold(matchConditions, scope)
    if (!(holds instanceof Error)) return holds ? as : undefined
    if (failurePolicy === 'Ignore') {
      this.#options.log.warn('a webhook is passed over: its match conditions cannot be evaluated', { webhook: webhook.name, error: holds })
      return undefined
    }
    throw forbidden(request.descriptor, request.name, holds.message)
  }

  /** Asks one webhook. Undefined when it could not be asked and that does not matter. */
  async #call(webhook: Webhook, request: AdmissionRequest, as: ResourceDescriptor, mayPatch: boolean): Promise<Verdict | undefined> {
    const { name, clientConfig, admissionReviewVersions = ['v1'], timeoutSeconds = 10, sideEffects = 'None', failurePolicy = 'Fail' } = webhook
    const { descriptor, context, origin, warn, object, old } = request
    if (context.dryRun && sideEffects !== 'None' && sideEffects !== 'NoneOnDryRun') throw badRequest(`admission webhook ${JSON.stringify(name)} does not support dry run`)
    const objects = { object: object && (await converted(object, descriptor, as)), old: old && (await converted(old, descriptor, as)) }
    const review = reviewOf(admissionReviewVersions, reviewRequest(request, as, objects))
    let verdict: Verdict
    try {
      if (review === undefined) throw new Error(`webhook does not accept known AdmissionReview versions (v1, v1beta1)`)
      const answer = await this.#options.outbound.post(clientConfig, { body: review.body, timeoutMs: timeoutSeconds * 1000, query: `?timeout=${timeoutSeconds}s` })
      verdict = verdictOf(answer, review, mayPatch)
    } catch (error) {
      if (failurePolicy !== 'Ignore') throw internalError(`failed calling webhook ${JSON.stringify(name)}: failed to call webhook: ${(error as Error).message}`)
      this.#options.log.warn('a webhook is passed over: it cannot be called', { webhook: name, error })
      origin?.annotate(`failed-open.${mayPatch ? 'mutation' : 'validation'}.webhook.admission.k8s.io/${name}`, (error as Error).message)
      return undefined
    }
    for (const warning of verdict.warnings) warn(warning)
    for (const [key, value] of verdict.annotations) origin?.annotate(`${name}/${key}`, value)
    if (!verdict.allowed) throw denial(name, verdict.status)
    return verdict
  }
}

/** What a webhook made of an object, without the fields that the kind does not have, and with defaults for what has come. */
function held(descriptor: ResourceDescriptor, object: ApiObject): ApiObject {
  try {
    checkFields(descriptor, object)
    descriptor.strategy?.applyDefaults?.(object)
    return object
  } catch (error) {
    if (!(error instanceof StatusError)) throw error
    throw internalError(error.message)
  }
}
