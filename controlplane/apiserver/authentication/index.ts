// Who makes a request: by client certificate, service account token or bootstrap token. Strangers are refused.
import type { UserInfo, WriteContext } from '../descriptor.ts'
import type { HttpRequest } from '../http.ts'
import { badRequest, unauthorized } from '../status.ts'
import { authenticateBootstrapToken } from './bootstrap-tokens.ts'
import type { ServiceAccountTokens } from './service-account-tokens.ts'

export interface AuthenticationOptions {
  readonly tokens: ServiceAccountTokens
  readonly lookup: WriteContext['lookup']
  readonly now: () => number
}

export class Authenticator {
  readonly #options: AuthenticationOptions

  constructor(options: AuthenticationOptions) {
    this.#options = options
  }

  /** The user behind a request; throws 401 for strangers. */
  authenticate(request: HttpRequest): UserInfo {
    if (request.peer.user !== undefined) return request.peer.user
    const token = bearerToken(request)
    const user = token === undefined ? undefined : this.userOf(token)
    if (user === undefined) throw unauthorized()
    return user
  }

  /** Who a token speaks for, if for anybody; `audiences` as in a TokenReview. */
  userOf(token: string, audiences?: readonly string[]): UserInfo | undefined {
    const { tokens, lookup, now } = this.#options
    return authenticateBootstrapToken(token, lookup, now()) ?? tokens.authenticate(token, audiences)
  }
}

/** Browsers cannot set Authorization on a WebSocket, so they send the token as a subprotocol. */
const protocolPrefix = 'base64url.bearer.authorization.k8s.io.'

function bearerToken({ headers }: HttpRequest): string | undefined {
  const [, token] = /^Bearer\s+(\S+)\s*$/i.exec(headers['authorization'] ?? '') ?? []
  if (token !== undefined) return token
  const protocol = headers['sec-websocket-protocol']?.split(',').map((part) => part.trim()).find((part) => part.startsWith(protocolPrefix))
  return protocol === undefined ? undefined : Buffer.from(protocol.slice(protocolPrefix.length), 'base64url').toString()
}

/** Whom the user wants to act as (`kubectl --as`); the caller checks that it is allowed. */
export function impersonated({ headers }: HttpRequest): UserInfo | undefined {
  const name = headers['impersonate-user']
  const groups = headers['impersonate-group']
  if (name === undefined) {
    if (groups !== undefined || headers['impersonate-uid'] !== undefined || Object.keys(extraOf(headers)).length > 0) throw badRequest('requested to impersonate groups, a uid or extra without a user')
    return undefined
  }
  const uid = headers['impersonate-uid']
  const named = groups === undefined ? impliedGroups(name) : groups.split(',').map((group) => group.trim())
  const extra = extraOf(headers)
  return { name, groups: [...named, ...(named.includes(everyone) || name === anonymous ? [] : [everyone])], ...(uid === undefined ? {} : { uid }), ...(Object.keys(extra).length === 0 ? {} : { extra }) }
}

const everyone = 'system:authenticated'
const anonymous = 'system:anonymous'
const extraPrefix = 'impersonate-extra-'

/** `Impersonate-Extra-scopes: view`: what else is known of somebody, by key; keys may be percent-encoded. */
function extraOf(headers: HttpRequest['headers']): Record<string, readonly string[]> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([header, value]) => (value === undefined || !header.startsWith(extraPrefix) ? [] : [[decoded(header.slice(extraPrefix.length)), value.split(',').map((one) => one.trim())]])),
  )
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    // Then it is meant as it is.
    return text
  }
}

function impliedGroups(name: string): string[] {
  if (name === anonymous) return ['system:unauthenticated']
  const [, namespace] = /^system:serviceaccount:([^:]+):[^:]+$/.exec(name) ?? []
  return namespace === undefined ? [] : ['system:serviceaccounts', `system:serviceaccounts:${namespace}`]
}
