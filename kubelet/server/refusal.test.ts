// What clients hear when there is nothing to join: over the engine's absence.
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import t from 'tap'
import { WebSocket } from 'ws'
import { CertificateAuthority } from '../../controlplane/apiserver/pki/authority.ts'
import type { Pod } from '../../api/types.ts'
import type { KubeletOptions } from '../options.ts'
import type { ContainerRuntime } from '../runtime/runtime.ts'
import { startServer } from './index.ts'

const authority = await CertificateAuthority.create('test', () => Date.now())
const serving = await authority.issue({ subject: { commonName: 'system:node:n1' }, usages: ['server'], names: ['127.0.0.1'], validMs: 3_600_000 })
const admin = await authority.issue({ subject: { commonName: 'test', organizations: ['system:masters'] }, usages: ['client'], validMs: 3_600_000 })
const runtime = { listContainers: async () => [], listSandboxes: async () => [] } as Partial<ContainerRuntime> as ContainerRuntime
const pod: Pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web', namespace: 'default', uid: 'u' }, spec: { containers: [{ name: 'main', image: 'x' }] } }
const server = await startServer({
  kubelet: { runtime } as Partial<KubeletOptions> as KubeletOptions,
  listen: { address: '127.0.0.1', port: 0, ...serving, clientCa: authority.certificate },
  pod: (_namespace, name) => (name === 'web' ? pod : undefined), pods: () => [pod],
})
t.teardown(() => server.stop())
const identity = { ca: authority.certificate, cert: admin.certificate, key: admin.key }

t.test('an exec or attach that cannot begin says why on its status channel', async (t) => {
  const cases = [['attach/default/web/main', 'container main of pod web is not running', 400], ['exec/default/web/other', 'container other is not valid for pod web', 400], ['exec/default/none/main', 'pod "none" is not on this node', 404]] as const
  for (const [path, message, code] of cases) {
    const socket = new WebSocket(`wss://127.0.0.1:${server.port}/${path}`, ['v5.channel.k8s.io'], identity)
    const [data] = (await once(socket, 'message')) as [Buffer]
    t.equal(data[0], 3)
    t.match(JSON.parse(data.subarray(1).toString()), { kind: 'Status', status: 'Failure', message, code })
    if (socket.readyState !== WebSocket.CLOSED) await once(socket, 'close')
  }
})

t.test('a port-forward that cannot begin says why, whatever protocol it asks for; a protocol that is not served is named last', async (t) => {
  const refusal = async (path: string, upgrade: string): Promise<{ code: number; message: string }> => {
    const outgoing = request({ ...identity, host: '127.0.0.1', port: server.port, path, agent: false, headers: { connection: 'Upgrade', upgrade } }).end()
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
    return JSON.parse((await response.toArray()).join('')) as { code: number; message: string }
  }
  for (const upgrade of ['websocket', 'SPDY/3.1']) t.match(await refusal('/portForward/default/web', upgrade), { code: 400, message: 'pod web is not running' })
  t.match(await refusal('/exec/default/web/main', 'h3'), { code: 400, message: 'only upgrades to WebSocket and SPDY/3.1 are served' })
  t.match(await refusal('/exec/default/web/main', 'SPDY/3.1'), { code: 400, message: 'container main of pod web is not running' })
})
