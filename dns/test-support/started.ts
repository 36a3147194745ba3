/** A server over sockets for a test, fed by a watch, and questions to it by an independent codec. */
import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import packet from 'dns-packet'
import type { Packet } from 'dns-packet'
import type { Test } from 'tap'
import { systemClock } from '../../api/clock.ts'
import { silentLogger } from '../../api/log.ts'
import type { EndpointSlice, KubeObject, Namespace, Service } from '../../api/types.ts'
import { startDns } from '../index.ts'
import type { DnsOptions, DnsServer } from '../index.ts'
import { FakeApi } from './fake-api.ts'

export const namespace = (name: string): Namespace => ({ metadata: { name } })
export const service = (name: string, spec: Service['spec']): Service => ({ metadata: { name, namespace: 'default' }, spec })
export const web = service('web', { clusterIP: '10.96.0.7', clusterIPs: ['10.96.0.7'], ports: [{ name: 'http', port: 80, protocol: 'TCP' }, { name: 'dns', port: 53, protocol: 'UDP' }] })
export const headless = service('db', { clusterIP: 'None', ports: [{ name: 'sql', port: 5432, protocol: 'TCP' }] })

export function slice(of: string, endpoints: { ip: string; hostname?: string; ready?: boolean }[], port = 5432): EndpointSlice {
  return {
    metadata: { name: `${of}-1`, namespace: 'default', labels: { 'kubernetes.io/service-name': of } }, addressType: 'IPv4',
    endpoints: endpoints.map(({ ip, hostname, ready = true }) => ({ addresses: [ip], conditions: { ready }, ...(hostname === undefined ? {} : { hostname }) })),
    ports: [{ name: 'sql', port, protocol: 'TCP' }],
  }
}

export interface Started {
  readonly api: FakeApi
  readonly server: DnsServer
  readonly port: number
  ask(name: string, type?: string, options?: { tcp?: boolean; edns?: number; id?: number }): Promise<Packet>
}

export async function start(t: Test, objects: Readonly<Record<string, readonly KubeObject[]>> = {}, options: Partial<DnsOptions> = {}, api = new FakeApi()): Promise<Started> {
  for (const [plural, list] of Object.entries({ namespaces: [namespace('default')], ...objects })) for (const object of list) api.put(plural, object)
  const server = await startDns({
    client: api.client, zone: 'cluster.local', pods: 'disabled', upstreams: [], listen: [{ address: '127.0.0.1', port: 0 }],
    clock: systemClock, random: () => 0, randomInt: (max) => randomInt(max), log: silentLogger, ...options,
  })
  t.teardown(() => server.stop())
  const port = server.listening[0]?.port ?? 0
  return {
    api, server, port,
    async ask(name, type = 'A', { tcp = false, edns, id = 4711 } = {}) {
      const query: Packet = {
        type: 'query', id, flags: packet.RECURSION_DESIRED, questions: [{ name, type }],
        ...(edns === undefined ? {} : { additionals: [{ name: '.', type: 'OPT', udpPayloadSize: edns, flags: 0 }] }),
      }
      return packet.decode(tcp ? await overTcp(port, packet.streamEncode(query)) : await overUdp(port, packet.encode(query)))
    },
  }
}

export function overUdp(port: number, query: Uint8Array, timeoutMs = 5000): Promise<Buffer> {
  const socket = createSocket('udp4')
  return new Promise<Buffer>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('no answer')), timeoutMs)
    socket.once('message', (answer) => {
      clearTimeout(timer)
      resolve(answer)
    })
    socket.send(query, port, '127.0.0.1')
  }).finally(() => socket.close())
}

export function overTcp(port: number, query: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(query))
    let all = Buffer.alloc(0)
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('the connection ended without an answer')))
    socket.on('data', (data: Buffer) => {
      all = Buffer.concat([all, data])
      if (all.length < 2 || all.length < 2 + all.readUInt16BE()) return
      socket.destroy()
      resolve(all.subarray(2))
    })
  })
}

export const data = (answer: Packet): unknown[] => (answer.answers ?? []).map((record) => record.data)
