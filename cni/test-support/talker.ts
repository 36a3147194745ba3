/**
 * What runs in a pod of the tests: `node talker.ts`. Echoes on TCP and UDP, and does as it is told by lines on standard input, such as
 * `{"to":"10.244.2.2","sizes":[1,65536]}`: sends so many bytes to that address by both, and answers with a line of what did not come back, as JSON.
 */
import { randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { createInterface } from 'node:readline'

const port = 7000
/** Less the headers of IPv4 and UDP, a datagram has so much room. */
const datagramMax = 65_507
/** Where all is well nobody waits so long, but on a busy machine. */
const answerMs = 5000

const server = createServer({ allowHalfOpen: true }, (socket) => {
  socket.on('error', () => socket.destroy())
  socket.pipe(socket)
})
server.listen(port)
const echo = createSocket({ type: 'udp6', ipv6Only: false, recvBufferSize: 4 << 20 }, (data, { port: from, address }) => echo.send(data, from, address))
echo.bind(port)
await Promise.all([once(server, 'listening'), once(echo, 'listening')])
process.stdout.write('ready\n')

for await (const line of createInterface(process.stdin)) {
  const { to, sizes } = JSON.parse(line) as { to: string; sizes: number[] }
  const failures: string[] = []
  for (const size of sizes) {
    const message = randomBytes(size)
    if (!(await byTcp(to, message))) failures.push(`${size} bytes by TCP to ${to}`)
    const datagram = message.subarray(0, datagramMax)
    // the peer's buffer is shared by all that send there, and of many pieces one may find a queue full
    if (!(await byUdp(to, datagram)) && !(await byUdp(to, datagram)) && !(await byUdp(to, datagram))) failures.push(`${datagram.length} bytes by UDP to ${to}`)
  }
  process.stdout.write(`${JSON.stringify(failures)}\n`)
}
process.exit(0)

function byTcp(to: string, message: Buffer): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const chunks: Buffer[] = []
  const socket = connect(port, to)
  socket.setTimeout(answerMs, () => resolve(false))
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.on('error', () => resolve(false))
  socket.on('end', () => resolve(Buffer.concat(chunks).equals(message)))
  socket.end(message)
  return promise.finally(() => socket.destroy())
}

function byUdp(to: string, message: Buffer): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const socket = createSocket(to.includes(':') ? 'udp6' : 'udp4')
  const timer = setTimeout(() => resolve(false), answerMs)
  socket.on('message', (data) => resolve(data.equals(message)))
  socket.on('error', () => resolve(false))
  socket.send(message, port, to)
  return promise.finally(() => {
    clearTimeout(timer)
    socket.close()
  })
}
