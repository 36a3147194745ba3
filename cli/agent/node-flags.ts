/** Flags that agent and kubelet have in common. */
import { createSocket } from 'node:dgram'
import type { LogLevel } from '../../api/log.ts'

export interface NodeFlags {
  readonly nodeName: string
  readonly nodeIp?: readonly string[]
  readonly nodeLabels: string
  readonly runtime: string
  readonly runtimeEndpoint: string
  readonly podInfraContainerImage: string
  readonly clusterDns: readonly string[]
  readonly clusterDomain: string
  readonly nodeLeaseDurationSeconds: number
  readonly maxPods: number
  readonly dataDir: string
  readonly logLevel: LogLevel
}

/** `a=b,c=d` */
export function parseLabels(text: string): Record<string, string> {
  return Object.fromEntries(text.split(',').filter((part) => part !== '').map((part) => {
    const [key = '', value, ...more] = part.split('=')
    if (key === '' || value === undefined || more.length > 0) throw new Error(`Cannot use node labels ${JSON.stringify(text)}: write them as key=value,key=value`)
    return [key, value]
  }))
}

/** The path of the engine's Unix socket. */
export function runtimeSocket({ runtime, runtimeEndpoint }: Pick<NodeFlags, 'runtime' | 'runtimeEndpoint'>): string {
  if (runtime !== 'docker') throw new Error(`Cannot use runtime ${runtime}: it is not there yet; --runtime docker is`)
  const match = /^unix:\/\/(\/.+)$/.exec(runtimeEndpoint)
  if (match === null) throw new Error(`Cannot use runtime endpoint ${runtimeEndpoint}: it must be a socket such as unix:///run/docker.sock`)
  return match[1] ?? ''
}

/** The address of the link that leads to a host; no packet is sent. */
export async function addressTowards(host: string): Promise<string> {
  const socket = createSocket('udp4')
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject)
      socket.connect(9, host, resolve)
    })
    return socket.address().address
  } catch (error) {
    throw new Error(`Cannot tell this node's own address: there is no way to ${host} (${(error as Error).message}); --node-ip names it`, { cause: error })
  } finally {
    socket.close()
  }
}
