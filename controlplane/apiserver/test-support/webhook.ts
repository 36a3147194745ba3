// A webhook of a test's own: an HTTPS server with a certificate of its own authority.
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { CertificateAuthority, yearMs } from '../pki/authority.ts'

interface Teardown {
  teardown(callback: () => void): void
}

export interface Webhook {
  readonly url: string
  readonly clientConfig: (path: string) => { readonly url: string; readonly caBundle: string }
  /** What was posted, in order. */
  readonly posted: { readonly path: string; readonly body: Record<string, unknown> }[]
}

/** Answers what is posted with what `answer` makes of it, at once or later: JSON, a status code, or nothing (undefined). */
export async function startWebhook(t: Teardown, answer: (path: string, body: Record<string, unknown>) => unknown): Promise<Webhook> {
  const authority = await CertificateAuthority.create('webhook-ca', () => Date.now())
  const { certificate, key } = await authority.issue({ subject: { commonName: 'webhook' }, usages: ['server'], names: ['127.0.0.1'], validMs: yearMs })
  const posted: Webhook['posted'] = []
  const server = createServer({ cert: certificate, key }, (request, response) => {
    const pieces: Buffer[] = []
    request.on('data', (piece: Buffer) => void pieces.push(piece))
    request.on('end', () => {
      const path = (request.url ?? '').replace(/\?.*/, '')
      const body = JSON.parse(Buffer.concat(pieces).toString()) as Record<string, unknown>
      posted.push({ path, body })
      void Promise.resolve(answer(path, body)).then((said) => {
        if (said === undefined) return
        if (typeof said === 'number') response.statusCode = said
        response.end(typeof said === 'number' ? 'no' : JSON.stringify(said))
      })
    })
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  const caBundle = Buffer.from(authority.certificate).toString('base64')
  return { url, clientConfig: (path) => ({ url: url + path, caBundle }), posted }
}

/** The answer to an AdmissionReview. */
export function reviewed(body: Record<string, unknown>, response: Record<string, unknown>): Record<string, unknown> {
  return { apiVersion: body['apiVersion'], kind: 'AdmissionReview', response: { uid: (body['request'] as { uid: string }).uid, allowed: true, ...response } }
}

export function patched(body: Record<string, unknown>, patch: readonly object[]): Record<string, unknown> {
  return reviewed(body, { patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(patch)).toString('base64') })
}
