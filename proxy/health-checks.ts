/** `healthCheckNodePort`: tells balancers whether this node has endpoints of a service whose traffic must stay here, in kube-proxy's words. */
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import type { Netns } from '../netlink/netns.ts'
import type { ServiceWant } from './service.ts'

interface Check {
  readonly port: number
  readonly server: Server
  localEndpoints: number
}

export interface HealthCheckOptions {
  readonly netns?: Netns | undefined
  /** Nothing can be answered for a service, as somebody else has the port. */
  readonly onFailure: (service: string, error: Error) => void
  /** Whether the proxy itself does its work: else what it says of endpoints is old. */
  readonly isHealthy: () => boolean
}

export class HealthChecks {
  readonly #options: HealthCheckOptions
  readonly #checks = new Map<string, Check>()
  readonly #failed = new Map<string, NonNullable<ServiceWant['healthCheck']>>()

  constructor(options: HealthCheckOptions) {
    this.#options = options
  }

  /** What is answered for a service; `undefined`: nothing any more. */
  set(service: string, wanted: ServiceWant['healthCheck']): void {
    this.#failed.delete(service)
    const present = this.#checks.get(service)
    if (present !== undefined && present.port === wanted?.port) {
      present.localEndpoints = wanted.localEndpoints
      return
    }
    present?.server.close()
    present?.server.closeAllConnections()
    this.#checks.delete(service)
    if (wanted !== undefined) this.#checks.set(service, this.#listen(service, wanted))
  }

  /** Tries those again that failed. */
  again(): void {
    for (const [service, wanted] of this.#failed) this.set(service, wanted)
  }

  async close(): Promise<void> {
    this.#failed.clear()
    const checks = [...this.#checks.values()]
    this.#checks.clear()
    await Promise.all(checks.map(({ server }) => new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })))
  }

  #listen(service: string, { port, localEndpoints }: NonNullable<ServiceWant['healthCheck']>): Check {
    const { netns, onFailure, isHealthy } = this.#options
    const [namespace, name] = service.split('/')
    const server = createServer((_, response) => {
      const serviceProxyHealthy = isHealthy()
      response.writeHead(serviceProxyHealthy && check.localEndpoints > 0 ? 200 : 503, { 'content-type': 'application/json', 'x-content-type-options': 'nosniff', 'x-load-balancing-endpoint-weight': String(check.localEndpoints) })
      response.end(JSON.stringify({ service: { namespace, name }, localEndpoints: check.localEndpoints, serviceProxyHealthy }))
    })
    const check: Check = { port, server, localEndpoints }
    server.on('error', (error) => {
      if (this.#checks.get(service) !== check) return
      this.#checks.delete(service)
      this.#failed.set(service, { port, localEndpoints: check.localEndpoints })
      onFailure(service, new Error(`Cannot answer health checks of service ${service} on port ${port}: ${error.message}`, { cause: error }))
    })
    // Without an address the socket is made at once, so it belongs to the namespace.
    if (netns === undefined) server.listen(port)
    else netns.run(() => void server.listen(port))
    server.unref()
    return check
  }
}
