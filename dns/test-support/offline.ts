/** The names of a cluster and the responder, without sockets: packets in, packets out. */
import { FakeClock } from '../../api/clock.ts'
import { silentLogger } from '../../api/log.ts'
import type { KubeObject } from '../../api/types.ts'
import { Responder } from '../answers/responder.ts'
import { ClusterNames } from '../names.ts'
import type { NamesOptions } from '../names.ts'
import { FakeApi } from './fake-api.ts'

/** Who asks in tests. */
export const client = Uint8Array.of(10, 244, 0, 9)

/** Resolves when the names are known. `stop` it at the end. */
export async function offline(objects: Readonly<Record<string, readonly KubeObject[]>>, options: Partial<NamesOptions> = {}): Promise<{ names: ClusterNames; responder: Responder; api: FakeApi }> {
  const api = new FakeApi()
  for (const [plural, list] of Object.entries(objects)) for (const object of list) api.put(plural, object)
  const names = new ClusterNames({
    client: api.client, zone: 'cluster.local', pods: 'verified', upstreams: [], serverAddresses: ['10.96.0.10', 'fd00:10:96::a'],
    clock: new FakeClock(), random: () => 0, randomInt: () => 0, log: silentLogger, ...options,
  })
  await names.start()
  return { names, api, responder: new Responder({ handlers: () => names.handlers, recursionAvailable: () => names.takesOtherNames, random: () => 0, log: silentLogger }) }
}
