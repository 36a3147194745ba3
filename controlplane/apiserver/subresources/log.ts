// `pods/NAME/log`: what a container wrote, from the kubelet of its node.
import type { Pod } from '../../../api/types.ts'
import { textReply } from '../http.ts'
import type { Reply } from '../http.ts'
import type { Call } from '../routes/call.ts'
import { badRequest } from '../status.ts'
import { containerOf, nodeOf, queryText } from './streams.ts'

const passed = ['follow', 'previous', 'sinceSeconds', 'sinceTime', 'timestamps', 'tailLines', 'limitBytes', 'stream']

export async function readLog(call: Call): Promise<Reply> {
  const { serving, request, info, descriptor } = call
  const pod = (await serving.reader.current(descriptor, info.namespace, info.name)).object as unknown as Pod
  const container = containerOf(pod, request.query.get('container'))
  if (request.query.get('sinceSeconds') !== null && request.query.get('sinceTime') !== null) throw badRequest('sinceSeconds and sinceTime: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified')
  // Nothing has run yet, so nothing was written.
  if ((pod.spec.nodeName ?? '') === '') return textReply(200, '')
  const query = new URLSearchParams(passed.flatMap((name) => request.query.getAll(name).map((value) => [name, value] as [string, string])))
  const path = `/containerLogs/${encodeURIComponent(info.namespace)}/${encodeURIComponent(info.name)}/${encodeURIComponent(container)}${queryText(query)}`
  return serving.kubelets.stream(serving.kubelets.upstream(nodeOf(call, pod), path), request.signal)
}
