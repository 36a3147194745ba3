/**
 * `import { startApiServer } from 'fairway/testing'`: an API server in memory for tests of operators and controllers, as
 * envtest is one for Go. It is the whole API server, over TLS on a port of its own; nothing of it is left when it stops.
 * Nothing else runs: no pod is scheduled or started, and what controllers of a cluster would do is left to the test.
 */
import { enableCompileCache } from 'node:module'
import { systemClock } from '../../api/clock.ts'
import { createLogger, silentLogger } from '../../api/log.ts'
import type { TestApiServer, TestApiServerOptions } from './entry.d.ts'

/** Starts an API server on 127.0.0.1. Resolves when it serves. */
export async function startApiServer({ port = 0, verbose = false }: TestApiServerOptions = {}): Promise<TestApiServer> {
  // Loaded only now, so that what Node has compiled once is found again by the next run.
  enableCompileCache()
  const [apiserver, { openMemoryStore }] = await Promise.all([import('../apiserver/index.ts'), import('../store/index.ts')])
  const store = openMemoryStore()
  const log = verbose ? createLogger({ level: 'warn' }) : silentLogger
  const server = await apiserver.startApiServer({ store, dataDir: undefined, bind: '127.0.0.1', port, clock: systemClock, random: Math.random, log })
  const stop = async (): Promise<void> => {
    await server.stop()
    await store.close()
  }
  return { url: server.url, kubeconfig: server.adminKubeconfig(), kubeconfigFor: (who) => server.kubeconfigFor(who), stop, [Symbol.asyncDispose]: stop }
}
