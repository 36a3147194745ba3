/** Runs a program in a container through the API server, over a WebSocket with Kubernetes' `v5.channel.k8s.io` subprotocol. */
import { WebSocket } from 'ws'
import type { ClusterConfig } from '../../api/kubeconfig.ts'
import type { Status } from '../../api/types.ts'

export interface ExecTarget {
  readonly pod: string
  readonly container: string
}

export interface ExecOutcome {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

/** First byte of every message: which stream it is of. */
const channel = { stdout: 1, stderr: 2, error: 3 } as const
const timeoutMs = 20_000

export function execInPod(config: ClusterConfig, { pod, container }: ExecTarget, command: readonly string[]): Promise<ExecOutcome> {
  const url = new URL(`/api/v1/namespaces/default/pods/${pod}/exec`, config.server)
  url.protocol = 'wss:'
  for (const [name, value] of [['container', container], ['stdout', 'true'], ['stderr', 'true'], ...command.map((word) => ['command', word])] as [string, string][]) url.searchParams.append(name, value)
  const { ca, clientCert: cert, clientKey: key } = config
  const socket = new WebSocket(url, 'v5.channel.k8s.io', { ...(ca === undefined ? {} : { ca }), ...(cert === undefined ? {} : { cert }), ...(key === undefined ? {} : { key }) })
  const output = { [channel.stdout]: '', [channel.stderr]: '', [channel.error]: '' }
  return new Promise((resolve, reject) => {
    const fail = (reason: string): void => {
      socket.terminate()
      reject(new Error(`Cannot run ${command[0] ?? ''} in pod ${pod}: ${reason}`))
    }
    const timer = setTimeout(() => fail(`no end within ${timeoutMs / 1000} s`), timeoutMs)
    socket.on('error', (error) => fail(error.message))
    socket.on('message', (data: Buffer) => {
      const stream = data[0] as keyof typeof output
      if (stream in output) output[stream] += data.subarray(1).toString()
    })
    socket.on('close', () => {
      clearTimeout(timer)
      if (output[channel.error] === '') return fail('the connection ended before the program did')
      resolve({ exitCode: exitCode(JSON.parse(output[channel.error]) as Status), stdout: output[channel.stdout], stderr: output[channel.stderr] })
    })
  })
}

function exitCode({ status, details }: Status): number {
  if (status === 'Success') return 0
  return Number(details?.causes?.find(({ reason }) => reason === 'ExitCode')?.message ?? 1)
}
