import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createSocket } from 'node:dgram'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { udpProgram } from './udp-program.ts'

const folder = mkdtempSync(join(tmpdir(), 'fairway-udp-'))
const file = join(folder, 'udp')
writeFileSync(file, udpProgram())
chmodSync(file, 0o755)
t.teardown(() => rmSync(folder, { recursive: true }))

/** A UDP port of loopback that nothing uses at the moment. */
async function freePort(): Promise<number> {
  const socket = createSocket('udp4')
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  const { port } = socket.address()
  await new Promise<void>((resolve) => socket.close(resolve))
  return port
}

if (process.arch !== 'x64') t.skip('the program is for x86-64', () => undefined)
else {
  t.test('one program answers what the other sends, from one byte to a large datagram', async (t) => {
    const port = await freePort()
    const server = spawn(file, [String(port)], { stdio: 'ignore' })
    t.teardown(() => server.kill('SIGKILL'))
    await new Promise((resolve) => setTimeout(resolve, 50))
    for (const text of ['x', 'hello over UDP\n', 'long '.repeat(5000)]) {
      t.equal(execFileSync(file, ['127.0.0.1', String(port)], { input: text, encoding: 'utf8' }), text)
    }
  })

  t.test('addresses of both families, in every form', async (t) => {
    const port = await freePort()
    const server = spawn(file, [String(port)], { stdio: 'ignore' })
    t.teardown(() => server.kill('SIGKILL'))
    await new Promise((resolve) => setTimeout(resolve, 50))
    for (const address of ['127.0.0.1', '::1', '0:0:0:0:0:0:0:1', '0::1', '0:0::0:1', '::ffff:7f00:1']) {
      t.equal(execFileSync(file, [address, String(port)], { input: address, encoding: 'utf8' }), address)
    }
    t.equal(spawnSync(file, ['fd00:abc::1', String(port)], { input: 'x' }).status, 1, 'and no other is that one')
  })

  t.test('nobody there is an exit status of 1, and wrong arguments one of 2 with the usage', async (t) => {
    t.equal(spawnSync(file, ['127.0.0.1', String(await freePort())], { input: 'x' }).status, 1)
    const wrong = spawnSync(file, [], { encoding: 'utf8' })
    t.equal(wrong.status, 2)
    t.equal(wrong.stderr, 'usage: udp PORT | udp ADDRESS PORT\n')
  })
}
