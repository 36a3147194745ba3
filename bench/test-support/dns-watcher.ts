/**
 * Asks a DNS server for one name, one question after the other, and prints a line whenever the answer changes:
 * `MILLISECONDS ADDRESS…`, on the clock that all processes of the machine share. Run in the namespace of a host.
 *
 *   node dns-watcher.ts SERVER NAME
 */
import { createSocket } from 'node:dgram'

const [server = '', name = ''] = process.argv.slice(2)
const labels = name.split('.').map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]))
// Header with recursion desired and one question; type A, class IN.
const query = Buffer.concat([Buffer.from([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]), ...labels, Buffer.from([0, 0, 1, 0, 1])])
const pauseMs = 1
const lostMs = 500
let last = ''

const socket = createSocket('udp4')
let next: NodeJS.Timeout | undefined
function ask(): void {
  socket.send(query, 53, server)
  // An answer that is lost is asked for again.
  next = setTimeout(ask, lostMs)
}
socket.on('message', (answer) => {
  // Only addresses of this form stand in the answer; their 4 bytes follow type, class, TTL and length.
  const found: string[] = []
  for (let at = answer.indexOf(Buffer.from([0, 1, 0, 1])); at >= 0; at = answer.indexOf(Buffer.from([0, 1, 0, 1]), at + 1)) {
    if (at + 14 <= answer.length && answer.readUInt16BE(at + 8) === 4) found.push([...answer.subarray(at + 10, at + 14)].join('.'))
  }
  const text = found.sort().join(' ')
  if (text !== last) process.stdout.write(`${performance.timeOrigin + performance.now()} ${text}\n`)
  last = text
  clearTimeout(next)
  next = setTimeout(ask, pauseMs)
})
ask()
