// Tokens of service accounts: JWTs (RFC 7519, ES256) bound to the account and, when asked for, to a pod, secret or node.
// Claims as kube-apiserver writes them (pkg/serviceaccount/claims.go).
import { createHash, createPrivateKey, createPublicKey, randomUUID, sign, verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import type { UserInfo, WriteContext } from '../descriptor.ts'
import { isRecord } from '../object.ts'

interface BoundObject {
  readonly name: string
  readonly uid: string
}

/** What a token is for. */
export interface TokenSubject {
  readonly namespace: string
  readonly account: BoundObject
  readonly pod?: BoundObject
  readonly secret?: BoundObject
  readonly node?: BoundObject
}

interface Claims {
  readonly iss: string
  readonly sub: string
  readonly aud: readonly string[]
  readonly exp: number
  readonly nbf: number
  readonly jti: string
  readonly subject: TokenSubject
}

export interface ServiceAccountTokensOptions {
  /** PEM. */
  readonly key: string
  readonly issuer: string
  readonly now: () => number
  /** Reads the cache: a token is good while what it is bound to exists. */
  readonly lookup: WriteContext['lookup']
}

/** Verified tokens remembered, so that a client pays for one signature and not for one a request. */
const verifiedMax = 2048

export class ServiceAccountTokens {
  readonly issuer: string
  readonly #privateKey: KeyObject
  readonly #publicKey: KeyObject
  readonly #keyId: string
  readonly #now: () => number
  readonly #lookup: WriteContext['lookup']
  readonly #verified = new Map<string, Claims>()

  constructor({ key, issuer, now, lookup }: ServiceAccountTokensOptions) {
    this.issuer = issuer
    this.#privateKey = createPrivateKey(key)
    this.#publicKey = createPublicKey(this.#privateKey)
    this.#keyId = createHash('sha256').update(this.#publicKey.export({ type: 'spki', format: 'der' })).digest('base64url')
    this.#now = now
    this.#lookup = lookup
  }

  /** The public key as a JSON Web Key Set (`/openid/v1/jwks`). */
  get keySet(): Record<string, unknown> {
    return { keys: [{ ...this.#publicKey.export({ format: 'jwk' }), use: 'sig', kid: this.#keyId, alg: 'ES256' }] }
  }

  issue(subject: TokenSubject, audiences: readonly string[], seconds: number): { token: string; expires: number } {
    const issued = Math.floor(this.#now() / 1000)
    const { namespace, account, pod, secret, node } = subject
    const claims = {
      aud: audiences.length === 0 ? [this.issuer] : audiences,
      exp: issued + seconds,
      iat: issued,
      iss: this.issuer,
      jti: randomUUID(),
      'kubernetes.io': { namespace, serviceaccount: account, ...(pod === undefined ? {} : { pod }), ...(secret === undefined ? {} : { secret }), ...(node === undefined ? {} : { node }) },
      nbf: issued,
      sub: `system:serviceaccount:${namespace}:${account.name}`,
    }
    const head = encode({ alg: 'ES256', kid: this.#keyId })
    const signed = `${head}.${encode(claims)}`
    const signature = sign('sha256', Buffer.from(signed), { key: this.#privateKey, dsaEncoding: 'ieee-p1363' })
    return { token: `${signed}.${signature.toString('base64url')}`, expires: (issued + seconds) * 1000 }
  }

  /** Who a token speaks for; undefined when it is not ours, out of its time, for another audience, or bound to what is gone. */
  authenticate(token: string, audiences: readonly string[] = [this.issuer]): UserInfo | undefined {
    const claims = this.#verified.get(token) ?? this.#verify(token)
    if (claims === undefined) return undefined
    const now = this.#now() / 1000
    // Clocks may differ by a little; ours is the only one that counts for the end.
    if (claims.iss !== this.issuer || now >= claims.exp || now < claims.nbf - 60 || !claims.aud.some((one) => audiences.includes(one))) return undefined
    return this.#boundObjectsExist(claims.subject) ? userOf(claims) : undefined
  }

  #verify(token: string): Claims | undefined {
    const parts = token.split('.')
    if (parts.length !== 3) return undefined
    const [head = '', body = '', signature = ''] = parts
    if (decode(head)?.['alg'] !== 'ES256') return undefined
    const isSigned = verify('sha256', Buffer.from(`${head}.${body}`), { key: this.#publicKey, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url'))
    const claims = isSigned ? readClaims(decode(body)) : undefined
    if (claims === undefined) return undefined
    if (this.#verified.size >= verifiedMax) this.#verified.clear()
    this.#verified.set(token, claims)
    return claims
  }

  #boundObjectsExist({ namespace, account, pod, secret, node }: TokenSubject): boolean {
    const exists = (resource: string, within: string | undefined, bound: BoundObject | undefined): boolean =>
      bound === undefined || this.#lookup(resource, within, bound.name)?.metadata.uid === bound.uid
    return exists('serviceaccounts', namespace, account) && exists('pods', namespace, pod) && exists('secrets', namespace, secret) && (pod !== undefined || exists('nodes', undefined, node))
  }
}

function userOf({ sub, jti, subject }: Claims): UserInfo {
  const { namespace, account, pod, node } = subject
  const extra: Record<string, string[]> = { 'authentication.kubernetes.io/credential-id': [`JTI=${jti}`] }
  if (pod !== undefined) {
    extra['authentication.kubernetes.io/pod-name'] = [pod.name]
    extra['authentication.kubernetes.io/pod-uid'] = [pod.uid]
  }
  if (node !== undefined) {
    extra['authentication.kubernetes.io/node-name'] = [node.name]
    extra['authentication.kubernetes.io/node-uid'] = [node.uid]
  }
  return { name: sub, uid: account.uid, groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'], extra }
}

function readClaims(claims: Record<string, unknown> | undefined): Claims | undefined {
  const bound = claims?.['kubernetes.io']
  if (claims === undefined || !isRecord(bound)) return undefined
  const { iss, sub, aud, exp, nbf, jti } = claims
  const { namespace, serviceaccount, pod, secret, node } = bound
  const account = readBound(serviceaccount)
  if (typeof namespace !== 'string' || account === undefined || sub !== `system:serviceaccount:${namespace}:${account.name}`) return undefined
  if (typeof iss !== 'string' || typeof exp !== 'number' || typeof nbf !== 'number' || typeof jti !== 'string') return undefined
  const optional = Object.fromEntries(Object.entries({ pod, secret, node }).flatMap(([key, value]) => (value === undefined ? [] : [[key, readBound(value)]])))
  return { iss, sub, exp, nbf, jti, aud: Array.isArray(aud) ? aud.map(String) : [String(aud)], subject: { namespace, account, ...optional } }
}

function readBound(value: unknown): BoundObject | undefined {
  return isRecord(value) && typeof value['name'] === 'string' && typeof value['uid'] === 'string' ? { name: value['name'], uid: value['uid'] } : undefined
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

function decode(part: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString())
    return isRecord(value) ? value : undefined
  } catch {
    // Not a JWT: some other kind of token.
    return undefined
  }
}
