/**
 * Rates of TCP: `node tcp-rates.ts serve ADDRESS` answers each byte with one; `node tcp-rates.ts requests|connects ADDRESS MS` prints how many a second it got: a byte there and back
 * on one connection, or a connection with a byte there and back, one after the other.
 */
import { connect, createServer } from 'node:net'
import type { Socket } from 'node:net'

const port = 7001
const [mode = '', address = '', ms = '2000'] = process.argv.slice(2)

if (mode === 'serve') {
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on('data', (data) => socket.write(data))
    socket.on('error', () => socket.destroy())
  })
  server.listen(port, address, 4096, () => process.stdout.write('ready\n'))
} else {
  const ask = mode === 'requests' ? await requester() : connectOnce
  for (let warm = 0; warm < 200; warm += 1) await ask()
  const began = performance.now()
  let count = 0
  while (performance.now() - began < Number(ms)) {
    await ask()
    count += 1
  }
  process.stdout.write(`${(count * 1000) / (performance.now() - began)}\n`)
  process.exit(0)
}

async function requester(): Promise<() => Promise<void>> {
  const socket = await connected()
  let answered = (): void => undefined
  socket.on('data', () => answered())
  return () => new Promise((resolve) => {
    answered = resolve
    socket.write('x')
  })
}

/** Reset in the end, so that no port has to wait. */
async function connectOnce(): Promise<void> {
  const socket = await connected()
  await new Promise((resolve) => {
    socket.once('data', resolve)
    socket.write('x')
  })
  socket.resetAndDestroy()
}

function connected(): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: address, noDelay: true }, () => resolve(socket))
    socket.on('error', reject)
  })
}
