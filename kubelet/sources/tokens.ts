/** Service account tokens of pods, asked for by TokenRequest and kept until they are due for renewal. */
import type { Client } from '../../api/client.ts'
import type { Clock } from '../../api/clock.ts'
import { serviceAccounts } from '../../api/resources.ts'
import type { Pod, TokenRequest as TokenRequestObject } from '../../api/types.ts'
import type { TokenRequest } from '../volumes/payload.ts'

interface Issued {
  readonly token: string
  readonly renewAtMs: number
}

/** A token is renewed after four fifths of its life, and once a day (kubelet/token/token_manager.go). */
const renewAfterShare = 0.8
const renewAfterMsMax = 24 * 3_600_000

export class TokenSource {
  readonly #client: Client
  readonly #clock: Clock
  readonly #issued = new Map<string, Map<string, Issued>>()

  constructor(client: Client, clock: Clock) {
    this.#client = client
    this.#clock = clock
  }

  async token(pod: Pod, { audience, expirationSeconds }: TokenRequest): Promise<string> {
    const { namespace = '', name = '', uid = '' } = pod.metadata
    const ofPod = this.#issued.get(uid) ?? new Map<string, Issued>()
    const key = `${audience ?? ''} ${expirationSeconds}`
    const present = ofPod.get(key)
    const now = this.#clock.now()
    if (present !== undefined && now < present.renewAtMs) return present.token
    const answer = await this.#client.createSubresource(serviceAccounts, { namespace, name: pod.spec.serviceAccountName ?? 'default', subresource: 'token' }, {
      apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', metadata: {},
      spec: { audiences: audience === undefined || audience === '' ? [] : [audience], expirationSeconds, boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name, uid } },
    }) as TokenRequestObject
    if (answer.status === undefined) throw new Error(`Cannot use the token of service account ${namespace}/${pod.spec.serviceAccountName ?? 'default'}: the API server gave none`)
    const lifeMs = Date.parse(answer.status.expirationTimestamp) - now
    ofPod.set(key, { token: answer.status.token, renewAtMs: now + Math.min(lifeMs * renewAfterShare, renewAfterMsMax) })
    this.#issued.set(uid, ofPod)
    return answer.status.token
  }

  /** When the first of the pod's tokens is due for renewal. */
  renewAtMs(uid: string): number {
    return Math.min(...[...(this.#issued.get(uid)?.values() ?? [])].map(({ renewAtMs }) => renewAtMs))
  }

  release(uid: string): void {
    this.#issued.delete(uid)
  }
}
