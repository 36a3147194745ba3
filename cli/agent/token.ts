/**
 * What a host shows to join: `FW1<hash>::<id>.<secret>`. The hash is the SHA-256 of the cluster's CA certificate (DER, in hexadecimal), so that a host
 * knows the right server before it trusts anybody; `id.secret` is a bootstrap token of Kubernetes.
 */
import { X509Certificate, createHash } from 'node:crypto'
import { request } from 'node:https'
import { bytesOf } from '../../api/client.ts'

export interface JoinToken {
  readonly caHash: string
  readonly bearer: string
}

const bodyBytesMax = 1024 * 1024
const timeoutMs = 10_000

export function parseJoinToken(text: string): JoinToken {
  const match = /^FW1([0-9a-f]{64})::([a-z0-9]{6}\.[a-z0-9]{16})$/.exec(text.trim())
  if (match === null) throw new Error("Cannot use the token: it must read 'FW1…::….…', as 'fairway server --write-token FILE' writes it")
  return { caHash: match[1] ?? '', bearer: match[2] ?? '' }
}

/** Fetches the CA of a server that we do not trust yet, and refuses any other than the token names. */
export async function fetchCa(server: string, { caHash }: JoinToken): Promise<string> {
  const pem = (await get(new URL('/cacerts', server))).toString()
  let hash: string
  try {
    hash = createHash('sha256').update(new X509Certificate(pem).raw).digest('hex')
  } catch (error) {
    throw new Error(`Cannot join ${server}: what it gives as its CA is no certificate; is it a Fairway API server?`, { cause: error })
  }
  if (hash !== caHash) throw new Error(`Cannot join ${server}: its CA is not the one that the token names; the token is of another cluster, or somebody stands between`)
  return pem
}

function get(url: URL): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    // Whom we speak to is checked by the hash of what comes.
    const outgoing = request(url, { rejectUnauthorized: false, agent: false, timeout: timeoutMs }, (response) => {
      if (response.statusCode === 200) bytesOf(response, bodyBytesMax).then(resolve, reject)
      else reject(new Error(`Cannot join ${url.origin}: it answers ${response.statusCode ?? 0} to ${url.pathname}; is it a Fairway API server?`))
    })
    outgoing.on('timeout', () => outgoing.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)))
    outgoing.on('error', (error) => reject(new Error(`Cannot reach ${url.origin}: ${error.message}`, { cause: error })))
    outgoing.end()
  })
}
