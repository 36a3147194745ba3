// Every protocol in which clients speak to a container, over a runtime that echoes.
import { on, once } from 'node:events'
import { request } from 'node:https'
import type { IncomingMessage } from 'node:http'
import { PassThrough } from 'node:stream'
import type { Duplex } from 'node:stream'
import t from 'tap'
import type { Test } from 'tap'
import { WebSocket } from 'ws'
import { FakeClock } from '../../api/clock.ts'
import { silentLogger } from '../../api/log.ts'
import type { Pod } from '../../api/types.ts'
import { CertificateAuthority } from '../../controlplane/apiserver/pki/authority.ts'
import type { KubeletOptions } from '../options.ts'
import type { ContainerRuntime, OutputChunk, StreamOptions, StreamSession } from '../runtime/runtime.ts'
import { startServer } from './index.ts'
import { encodeFrame, FrameReader, HeaderCodec } from './spdy.ts'

const authority = await CertificateAuthority.create('test', () => Date.now())
const serving = await authority.issue({ subject: { commonName: 'system:node:n1' }, usages: ['server'], names: ['127.0.0.1'], validMs: 3_600_000 })
const admin = await authority.issue({ subject: { commonName: 'test', organizations: ['system:masters'] }, usages: ['client'], validMs: 3_600_000 })
const identity = { ca: authority.certificate, cert: admin.certificate, key: admin.key }
const clock = new FakeClock()

/** What sessions were asked for and told. */
const taken: string[] = []

/** A process that repeats its input on stdout, complains at its end on stderr, and ends with the code that its command names. */
function echo(command: readonly string[], { stdin, tty }: StreamOptions): StreamSession {
  const output = new PassThrough({ objectMode: true })
  const say = (stream: 'stdout' | 'stderr', text: string): void => void output.write({ stream, data: Buffer.from(text) } satisfies OutputChunk)
  const end = (): void => {
    if (!output.writable) return
    if (!tty) say('stderr', 'at the end')
    output.end()
  }
  taken.push(`${command.join(' ')}${tty ? ' tty' : ''}`)
  if (!stdin) setImmediate(end)
  return {
    output: output as AsyncIterable<OutputChunk>,
    write: async (data) => say('stdout', data.toString()),
    endInput: end,
    resize: async (columns, rows) => void taken.push(`${columns}x${rows}`),
    exitCode: async () => (command[0] === 'exit' ? Number(command[1]) : undefined),
    close: () => void output.end(),
  }
}

const pod: Pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web', namespace: 'default', uid: 'u' }, spec: { containers: [{ name: 'main', image: 'x' }] } }
const running = { id: 'c', name: 'main', state: 'running', attempt: 0 }
const runtime = {
  listContainers: async () => [running], listSandboxes: async () => [{ id: 's', state: 'ready' }],
  exec: async (_id: string, command: readonly string[], options: StreamOptions) => echo(command, options),
  attach: async (_id: string, options: StreamOptions) => echo(['attached'], options),
  portForward: async (_id: string, port: number) => {
    if (port === 81) throw new Error('nobody listens')
    return new PassThrough()
  },
} as unknown as ContainerRuntime
const server = await startServer({
  kubelet: { runtime, clock, log: silentLogger } as Partial<KubeletOptions> as KubeletOptions,
  listen: { address: '127.0.0.1', port: 0, ...serving, clientCa: authority.certificate },
  pod: (_namespace, name) => (name === 'web' ? pod : undefined), pods: () => [pod],
})
t.teardown(() => server.stop())

/** A client of SPDY as kubectl 1.20 is one. */
class SpdyClient {
  readonly #socket: Duplex
  readonly #headers = new HeaderCodec()
  readonly version: string
  /** By stream: what came, and whether it has ended. */
  readonly got = new Map<number, { text: string; isEnded: boolean }>()
  readonly resets: number[] = []
  readonly closed: Promise<void>
  #next = 1
  #changed = (): void => {}

  constructor(socket: Duplex, version: string, head: Buffer) {
    this.#socket = socket
    this.version = version
    const reader = new FrameReader()
    this.closed = new Promise((resolve) => void socket.once('close', () => {
      this.#headers.close()
      this.#changed()
      resolve()
    }))
    socket.on('error', () => socket.destroy())
    const take = (data: Buffer): void => {
      for (const frame of reader.push(data)) {
        if (frame.kind === 'reset') this.resets.push(frame.streamId)
        if (frame.kind !== 'data') continue
        const stream = this.got.get(frame.streamId) ?? { text: '', isEnded: false }
        this.got.set(frame.streamId, { text: stream.text + frame.data.toString(), isEnded: stream.isEnded || frame.isLast })
      }
      this.#changed()
    }
    if (head.length > 0) take(head)
    socket.on('data', take)
  }

  async open(headers: Record<string, string>): Promise<number> {
    const streamId = this.#next
    this.#next += 2
    this.#socket.write(encodeFrame({ kind: 'open', streamId, isLast: false, block: await this.#headers.encode(headers) }))
    return streamId
  }

  write(streamId: number, text: string, isLast = false): void {
    this.#socket.write(encodeFrame({ kind: 'data', streamId, isLast, data: Buffer.from(text) }))
  }

  ping(): void {
    this.#socket.write(encodeFrame({ kind: 'ping', id: 1 }))
  }

  async until(what: () => boolean): Promise<void> {
    while (!what() && !this.#socket.destroyed) await new Promise<void>((resolve) => (this.#changed = resolve))
  }

  close(): void {
    this.#socket.destroy()
  }
}

async function dial(t: Test, path: string, versions: readonly string[]): Promise<SpdyClient> {
  const outgoing = request({ ...identity, host: '127.0.0.1', port: server.port, path, method: 'POST', agent: false, headers: { connection: 'Upgrade', upgrade: 'SPDY/3.1', ...(versions.length === 0 ? {} : { 'x-stream-protocol-version': [...versions] }) } }).end()
  const [response, socket, head] = (await once(outgoing, 'upgrade')) as [IncomingMessage, Duplex, Buffer]
  t.match(response.headers, { upgrade: 'SPDY/3.1' })
  const client = new SpdyClient(socket, String(response.headers['x-stream-protocol-version']), head)
  t.teardown(() => client.close())
  return client
}

const allVersions = ['v4.channel.k8s.io', 'v3.channel.k8s.io', 'v2.channel.k8s.io', 'channel.k8s.io']

t.test('exec over SPDY carries input, half-close, both outputs and the status in JSON', async (t) => {
  const client = await dial(t, '/exec/default/web/main?command=exit&command=7&input=1&output=1&error=1', allVersions)
  t.equal(client.version, 'v4.channel.k8s.io')
  const error = await client.open({ streamtype: 'error' })
  const stdin = await client.open({ streamtype: 'stdin' })
  const stdout = await client.open({ streamtype: 'stdout' })
  const stderr = await client.open({ streamtype: 'stderr' })
  client.ping()
  const large = 'x'.repeat(100_000)
  client.write(stdin, 'hello ')
  client.write(stdin, large, true)
  await client.closed
  t.same(client.got.get(stdout), { text: `hello ${large}`, isEnded: true })
  t.same(client.got.get(stderr), { text: 'at the end', isEnded: true })
  t.match(JSON.parse(client.got.get(error)?.text ?? ''), { status: 'Failure', reason: 'NonZeroExitCode', details: { causes: [{ reason: 'ExitCode', message: '7' }] } })
  t.ok(client.got.get(error)?.isEnded)
})

t.test('a terminal over SPDY has one output and is resized', async (t) => {
  const client = await dial(t, '/exec/default/web/main?command=sh&input=1&output=1&tty=1', ['v3.channel.k8s.io'])
  const error = await client.open({ streamtype: 'error' })
  const stdin = await client.open({ streamtype: 'stdin' })
  const stdout = await client.open({ streamtype: 'stdout' })
  const resize = await client.open({ streamtype: 'resize' })
  const odd = await client.open({ streamtype: 'constructor' })
  client.write(resize, '{"Width":80,"Height":24}\n')
  client.write(stdin, 'typed')
  await client.until(() => client.got.get(stdout)?.text === 'typed')
  client.write(stdin, '', true)
  await client.closed
  t.same(client.got.get(error), { text: '', isEnded: true }, 'before version 4 success says nothing')
  t.same(taken.slice(-2), ['sh tty', '80x24'])
  t.same(client.resets, [odd])
})

for (const [versions, spoken] of [[['v9.channel.k8s.io', 'v2.channel.k8s.io'], 'v2.channel.k8s.io'], [['channel.k8s.io'], 'channel.k8s.io'], [[], 'channel.k8s.io'], [['v3.channel.k8s.io, v2.channel.k8s.io'], 'v3.channel.k8s.io']] as const) {
  t.test(`SPDY with ${versions.join(', ') || 'no version'} tells a failure as text`, async (t) => {
    const client = await dial(t, '/exec/default/web/main?command=exit&command=3&output=1', versions)
    t.equal(client.version, spoken)
    const error = await client.open({ streamtype: 'error' })
    await client.open({ streamtype: 'stdout' })
    await client.closed
    t.same(client.got.get(error), { text: 'command terminated with non-zero exit code: exit status 3', isEnded: true })
  })
}

t.test('attach over SPDY joins the container', async (t) => {
  const client = await dial(t, '/attach/default/web/main?input=1&output=1&error=1', allVersions)
  const streams: number[] = []
  for (const streamtype of ['error', 'stdin', 'stdout', 'stderr']) streams.push(await client.open({ streamtype }))
  client.write(streams[1] ?? 0, 'heard', true)
  await client.closed
  t.match([client.got.get(streams[2] ?? 0)?.text, JSON.parse(client.got.get(streams[0] ?? 0)?.text ?? '')], ['heard', { status: 'Success' }])
})

t.test('SPDY is refused with a Status: for versions that nobody speaks, for what is not there', async (t) => {
  const refusal = async (path: string, version: string): Promise<unknown> => {
    const outgoing = request({ ...identity, host: '127.0.0.1', port: server.port, path, method: 'POST', agent: false, headers: { connection: 'Upgrade', upgrade: 'SPDY/3.1', 'x-stream-protocol-version': version } }).end()
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
    return JSON.parse((await response.toArray()).join(''))
  }
  t.match(await refusal('/exec/default/web/main', 'v9.channel.k8s.io'), { kind: 'Status', code: 403, message: /client supports \[v9.channel.k8s.io\], server accepts \[v4/ })
  t.match(await refusal('/exec/default/none/main', 'v4.channel.k8s.io'), { kind: 'Status', code: 404 })
  t.match(await refusal('/portForward/default/web', 'v4.channel.k8s.io'), { code: 403 })
})

t.test('a client that does not open its streams is cut off, and one that speaks something else', async (t) => {
  const silent = await dial(t, '/exec/default/web/main?command=sh&input=1&output=1', allVersions)
  await silent.open({ streamtype: 'error' })
  const odd = await dial(t, '/exec/default/web/main?command=sh&input=1&output=1', allVersions)
  await odd.open({ streamtype: 'error' })
  const pinged = taken.length
  await clock.advance(30_000)
  await Promise.all([silent.closed, odd.closed])
  t.equal(taken.length, pinged)
})

t.test('port-forward over SPDY carries connections, and says why one fails', async (t) => {
  const client = await dial(t, '/portForward/default/web', ['portforward.k8s.io'])
  t.equal(client.version, 'portforward.k8s.io')
  const errors = await client.open({ streamtype: 'error', port: '80', requestid: '0' })
  const data = await client.open({ streamtype: 'data', port: '80', requestid: '0' })
  client.write(data, 'GET /')
  await client.until(() => client.got.get(data)?.text === 'GET /')
  client.write(data, '', true)
  await client.until(() => client.got.get(errors)?.isEnded === true)
  t.same(client.got.get(errors), { text: '', isEnded: true })
  const refused = await client.open({ streamtype: 'error', port: '81', requestid: '1' })
  await client.open({ streamtype: 'data', port: '81', requestid: '1' })
  await client.until(() => client.got.get(refused)?.isEnded === true)
  t.match(client.got.get(refused), { text: 'error forwarding port 81: nobody listens' })
})

/** Messages of a WebSocket until it closes. */
async function talk(t: Test, path: string, protocols: readonly string[], say: readonly (string | Buffer)[]): Promise<{ protocol: string; messages: Buffer[] }> {
  const socket = new WebSocket(`wss://127.0.0.1:${server.port}${path}`, [...protocols], identity)
  t.teardown(() => socket.terminate())
  const messages: Buffer[] = []
  socket.on('message', (data: Buffer) => void messages.push(data))
  await once(socket, 'open')
  for (const one of say) socket.send(one)
  await once(socket, 'close')
  return { protocol: socket.protocol, messages }
}

t.test('exec over WebSocket in every version, from the newest to none', async (t) => {
  const path = '/exec/default/web/main?command=exit&command=7&output=1&error=1'
  for (const protocol of ['v5.channel.k8s.io', 'v4.channel.k8s.io', 'v3.channel.k8s.io', 'v2.channel.k8s.io', 'channel.k8s.io', '']) {
    const { messages, ...answer } = await talk(t, path, protocol === '' ? [] : ['unknown', protocol], [])
    t.equal(answer.protocol, protocol)
    t.ok(messages.some((message) => message.toString() === '\x02at the end'), protocol)
    const status = messages.at(-1)?.toString() ?? ''
    if (/^v[45]/.test(protocol)) t.match(JSON.parse(status.slice(1)), { status: 'Failure', reason: 'NonZeroExitCode' }, protocol)
    else t.equal(status, '\x03command terminated with non-zero exit code: exit status 7', protocol)
  }
  const success = await talk(t, '/exec/default/web/main?command=exit&command=0&output=1&error=1', ['channel.k8s.io'], [])
  t.equal(success.messages.at(-1)?.toString(), '\x02at the end', 'before version 4 success says nothing')
})

t.test('WebSocket messages in base64 are text of a digit and base64', async (t) => {
  for (const protocol of ['v4.base64.channel.k8s.io', 'base64.channel.k8s.io']) {
    const { messages } = await talk(t, '/exec/default/web/main?command=exit&command=7&output=1&error=1', [protocol], [])
    const decoded = messages.map((message) => `${message.toString()[0] ?? ''}${Buffer.from(message.toString().slice(1), 'base64').toString()}`)
    t.match(decoded, ['1', '2at the end', protocol.startsWith('v4') ? /^3\{.*NonZeroExitCode/ : '3command terminated with non-zero exit code: exit status 7'])
  }
  const socket = new WebSocket(`wss://127.0.0.1:${server.port}/attach/default/web/main?input=1&output=1`, ['base64.channel.k8s.io'], identity)
  t.teardown(() => socket.terminate())
  await once(socket, 'open')
  socket.send(`0${Buffer.from('hello').toString('base64')}`)
  for await (const [data] of on(socket, 'message') as AsyncIterable<[Buffer]>) if (data.toString() === `1${Buffer.from('hello').toString('base64')}`) break
  socket.send(`4${Buffer.from('{"Width":81,"Height":24}').toString('base64')}`)
  while (taken.at(-1) !== '81x24') await new Promise((resolve) => void setImmediate(resolve))
  t.pass('heard and resized')
})
