/** Asks a server properly, by TCP and by UDP, in a process of its own; arguments are its port and for how many seconds. Says at the end how many answers came within 5 s, how many did not, and how long the slowest took. */
import packet from 'dns-packet'
import type { Packet } from 'dns-packet'
import { overTcp, overUdp } from './started.ts'

const [port = 0, seconds = 0] = process.argv.slice(2).map(Number)
const question: Packet = { type: 'query', id: 4711, questions: [{ name: 'web.default.svc.cluster.local', type: 'A' }] }
const within = <T>(answer: Promise<T>): Promise<T | undefined> => Promise.race([answer.catch(() => undefined), new Promise<undefined>((resolve) => void setTimeout(() => resolve(undefined), 5000))])
const until = performance.now() + seconds * 1000
const result = { answered: 0, failed: 0, slowestMs: 0 }
for (let n = 0; performance.now() < until; n += 1) {
  const begun = performance.now()
  const answer = await within(n % 2 === 0 ? overTcp(port, packet.streamEncode(question)) : overUdp(port, packet.encode(question)))
  if (answer !== undefined && packet.decode(answer).answers?.length === 1) result.answered += 1
  else result.failed += 1
  result.slowestMs = Math.max(result.slowestMs, Math.round(performance.now() - begun))
  await new Promise((resolve) => setTimeout(resolve, 50))
}
process.stdout.write(JSON.stringify(result))
process.exit(0)
