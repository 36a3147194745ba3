// Bootstrap tokens (`id.secret`): Secrets in kube-system with which new nodes introduce themselves.
// Format: kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens.
import { timingSafeEqual } from 'node:crypto'
import type { Random } from '../../../api/clock.ts'
import type { UserInfo, WriteContext } from '../descriptor.ts'
import { isRecord, timestamp } from '../object.ts'
import type { ApiObject } from '../object.ts'

const tokenSecretType = 'bootstrap.kubernetes.io/token'
const namespace = 'kube-system'
const form = /^([a-z0-9]{6})\.([a-z0-9]{16})$/
const letters = 'abcdefghijklmnopqrstuvwxyz0123456789'

/** Who a bootstrap token speaks for, if it is one that is known and has not expired. */
export function authenticateBootstrapToken(token: string, lookup: WriteContext['lookup'], now: number): UserInfo | undefined {
  const [, id = '', secret = ''] = form.exec(token) ?? []
  if (id === '') return undefined
  const kept = lookup('secrets', namespace, `bootstrap-token-${id}`)
  if (kept === undefined) return undefined
  const values = tokenValues(kept as ApiObject)
  if (values === undefined || values['token-id'] !== id || values['usage-bootstrap-authentication'] !== 'true' || isExpired(values, now)) return undefined
  if (!isEqual(values['token-secret'] ?? '', secret)) return undefined
  const extraGroups = (values['auth-extra-groups'] ?? '').split(',').filter((group) => group.startsWith('system:bootstrappers:'))
  return { name: `system:bootstrap:${id}`, groups: ['system:bootstrappers', ...extraGroups, 'system:authenticated'] }
}

/** A new token as the Secret that makes it valid for `validMs`. The randomness must be the system's own. */
export function newBootstrapToken(randomLetters: (count: number) => string, now: number, validMs: number): { token: string; secret: ApiObject } {
  const [id, secret] = [randomLetters(6), randomLetters(16)]
  const values = {
    'token-id': id,
    'token-secret': secret,
    expiration: timestamp(now + validMs),
    description: 'for nodes that join this cluster',
    'usage-bootstrap-authentication': 'true',
    'usage-bootstrap-signing': 'true',
  }
  const data = Object.fromEntries(Object.entries(values).map(([key, value]) => [key, Buffer.from(value).toString('base64')]))
  return { token: `${id}.${secret}`, secret: { apiVersion: 'v1', kind: 'Secret', metadata: { name: `bootstrap-token-${id}`, namespace }, type: tokenSecretType, data } }
}

/** The token that a Secret holds, if that is good for another `validMs`. */
export function tokenOf(secret: ApiObject, now: number, validMs: number): string | undefined {
  const values = tokenValues(secret)
  if (values === undefined || values['usage-bootstrap-authentication'] !== 'true' || isExpired(values, now + validMs)) return undefined
  const token = `${values['token-id'] ?? ''}.${values['token-secret'] ?? ''}`
  return form.test(token) ? token : undefined
}

/** Whether a Secret holds a bootstrap token whose time is over. */
export function isExpiredToken(secret: ApiObject, now: number): boolean {
  const values = secret['type'] === tokenSecretType ? tokenValues(secret) : undefined
  return values !== undefined && isExpired(values, now)
}

/** Letters of a token, from a source of numbers in [0, 1). */
export function lettersFrom(random: Random, count: number): string {
  return Array.from({ length: count }, () => letters[Math.floor(random() * letters.length)]).join('')
}

function tokenValues(secret: ApiObject): Record<string, string> | undefined {
  if (secret['type'] !== tokenSecretType || !isRecord(secret['data']) || secret.metadata.deletionTimestamp !== undefined) return undefined
  return Object.fromEntries(Object.entries(secret['data']).map(([key, value]) => [key, Buffer.from(String(value), 'base64').toString()]))
}

function isExpired(values: Readonly<Record<string, string>>, now: number): boolean {
  const expiration = values['expiration']
  return expiration !== undefined && !(Date.parse(expiration) > now)
}

function isEqual(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b))
}
