/** The resident part as a process of its own, to be started in a test host's namespace: `node serve.ts SOCKET`. Says `ready` once it listens. */
import { createLogger } from '../../api/log.ts'
import { startCniService } from '../executable/service.ts'

const service = await startCniService({ socketPath: process.argv[2] ?? '', log: createLogger({ level: 'error' }) })
process.stdout.write('ready\n')
process.once('SIGTERM', () => void service.stop())
await service.done
