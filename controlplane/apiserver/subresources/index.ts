// What can be asked of an object beside the object itself: `pods/web/log`, `deployments/web/scale`.
import type { Subresource } from '../descriptor.ts'
import type { Reply } from '../http.ts'
import { hasSubresource } from '../registry.ts'
import { change, patch } from '../routes/resource.ts'
import { objectReply } from '../routes/call.ts'
import type { Call } from '../routes/call.ts'
import { badRequest, methodNotAllowed, noSuchPath } from '../status.ts'
import { bind } from './binding.ts'
import { evict } from './eviction.ts'
import { readLog } from './log.ts'
import { proxy } from './proxy.ts'
import { handleScale } from './scale.ts'
import { requestToken } from './token.ts'
import { approvalOf, ephemeralContainersOf, resourcesOf, withApproval, withEphemeralContainers, withFinalizers, withResources } from './parts.ts'

type Answer = (call: Call) => Promise<Reply>

const answers: Readonly<Record<Subresource, Readonly<Record<string, Answer>>>> = {
  status: { get: current, update: part('status'), patch: part('status') },
  scale: { get: handleScale, update: handleScale, patch: handleScale },
  approval: { get: current, update: part('other', withApproval), patch: part('other', withApproval, approvalOf) },
  finalize: { update: part('other', withFinalizers) },
  ephemeralcontainers: { get: current, update: part('other', withEphemeralContainers), patch: part('other', withEphemeralContainers, ephemeralContainersOf) },
  resize: { get: current, update: part('other', withResources), patch: part('other', withResources, resourcesOf) },
  binding: { create: bind },
  eviction: { create: evict },
  token: { create: requestToken },
  log: { get: readLog },
  proxy: { get: proxy, create: proxy, update: proxy, patch: proxy, delete: proxy },
  // These come as upgrades; see streams.ts.
  exec: { get: needsUpgrade, create: needsUpgrade },
  attach: { get: needsUpgrade, create: needsUpgrade },
  portforward: { get: needsUpgrade, create: needsUpgrade },
}

export async function handleSubresource(call: Call): Promise<Reply> {
  const { descriptor, info } = call
  const name = info.subresource as Subresource
  if (!hasSubresource(descriptor, name)) throw noSuchPath()
  const answer = answers[name][info.verb]
  if (answer === undefined) throw methodNotAllowed(descriptor, info.verb)
  return answer(call)
}

async function current(call: Call): Promise<Reply> {
  return objectReply(call, 200, await call.serving.reader.current(call.descriptor, call.info.namespace, call.info.name))
}

/** `configOf`: what of a configuration that is applied counts. */
function part(which: 'status' | 'other', pick?: Parameters<typeof change>[2], configOf?: Parameters<typeof patch>[3]): Answer {
  return async (call) => (call.info.verb === 'patch' ? patch(call, which, pick, configOf) : objectReply(call, 200, await change(call, which, pick)))
}

function needsUpgrade(): Promise<Reply> {
  return Promise.reject(badRequest('Upgrade request required'))
}
