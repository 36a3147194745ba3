// Puts into etcd by the gRPC client that programs for Node usually have: what ours is compared with.
import { Client, credentials } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import type { ServiceDefinition } from '@grpc/proto-loader'

export function grpcPuts(url: string): { readonly put: (key: Buffer, value: Buffer) => Promise<unknown>; readonly close: () => void } {
  const definitions = loadSync(new URL('etcd-put.proto', import.meta.url).pathname, { longs: String })
  const method = (definitions['etcdserverpb.KV'] as ServiceDefinition)['Put']
  if (method === undefined) throw new Error('Cannot measure puts: etcd-put.proto has none')
  const { path, requestSerialize, responseDeserialize } = method
  const client = new Client(new URL(url).host, credentials.createInsecure())
  return {
    put: (key, value) => new Promise((resolve, reject) => {
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, { key, value }, (error, reply) => (error === null ? resolve(reply) : reject(error)))
    }),
    close: () => client.close(),
  }
}
