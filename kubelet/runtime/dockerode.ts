/**
 * dockerode, without what it loads for BuildKit sessions (gRPC) and for engines behind SSH: neither is used here, and together they are 20 MB of
 * memory in every agent and a tenth of a second of its start.
 */
import { registerHooks } from 'node:module'

const unused: ReadonlySet<string> = new Set(['@grpc/grpc-js', '@grpc/proto-loader', 'ssh2'])

const hooks = registerHooks({
  resolve: (specifier, context, next) => {
    const byDockerode = /\/(?:dockerode|docker-modem)\//.test(context.parentURL ?? '')
    // Any module that is loaded anyway will do: nothing of it is touched.
    return byDockerode && unused.has(specifier) ? { url: 'node:path', format: 'builtin', shortCircuit: true } : next(specifier, context)
  },
})
const { default: Docker } = await import('dockerode')
hooks.deregister()

export { Docker }
