/** Talking between the namespaces of a test host: a server that says who asked, and questions over TCP and UDP. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { TestHost } from './host.ts'

const program = `
  const { createServer } = require('node:net'), { createSocket } = require('node:dgram')
  const [name, port] = process.argv.slice(1)
  const plain = (address) => address.replace(/^::ffff:/, '')
  createServer((socket) => { socket.on('error', () => socket.destroy()); socket.write(name + ' ' + plain(socket.remoteAddress) + '\\n') }).listen(+port, '::', () => {
    const udp = createSocket('udp6').on('message', (_, from) => udp.send(name + ' ' + plain(from.address) + '\\n', from.port, from.address)).bind(+port, '::', () => console.log('ready'))
  })`

/** A server in a pod (or the host) until it is disposed of: answers `NAME ADDRESS-OF-THE-CALLER` over TCP and UDP. */
export async function serve(host: TestHost, where: string | undefined, name: string, port: number): Promise<Disposable> {
  const child = spawn('nsenter', [`--net=${host.pathOf(where)}`, process.execPath, '-e', program, name, String(port)], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  return { [Symbol.dispose]: () => void child.kill('SIGKILL') }
}

/** What a server said to a caller, or `nothing`: where that is expected, one need not wait as long as a busy machine may take. */
export async function ask(host: TestHost, where: string | undefined, protocol: 'tcp' | 'udp', address: string, port: number, seconds = 10): Promise<string> {
  const say = protocol === 'udp' ? 'echo hello >&3 && ' : ''
  const { stdout } = await host.run(where, 'timeout', String(seconds), 'bash', '-c', `exec 3<>/dev/${protocol}/${address}/${port} && ${say}head -n1 <&3`)
  return stdout.trim() === '' ? 'nothing' : stdout.trim()
}
