// An API server, on SQLite if no other store is named, as a process of its own, until somebody kills it. Prints a line when it is ready.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '../../../api/clock.ts'
import { silentLogger } from '../../../api/log.ts'
import { openStore, startApiServer } from '../index.ts'

const [dataDir = '', port = '0', name = 'sqlite'] = process.argv.slice(2)
const store = await openStore(name, dataDir)
const server = await startApiServer({ store, dataDir, bind: '127.0.0.1', port: Number(port), clock: systemClock, random: Math.random, log: silentLogger })
writeFileSync(join(dataDir, 'admin.conf'), server.adminKubeconfig(), { mode: 0o600 })
process.stdout.write(`${server.port}\n`)
process.on('SIGTERM', () => void server.stop().then(() => store.close()))
