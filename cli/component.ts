/** Running components: several as one, and one until a signal ends it. */
import { flushCompileCache } from 'node:module'
import { Client } from '../api/client.ts'
import type { Component } from '../api/component.ts'
import { httpsTransport } from '../api/https-transport.ts'
import { loadKubeconfig } from '../api/kubeconfig.ts'

type Start = () => Promise<Component>

/** How long a component may take to end cleanly before the process ends all the same. */
const stopMs = 10_000
/** When what Node made of the sources is written to its cache: a process that is killed later has left it to the next. */
const flushMs = 3000

/** Starts components at once and makes them one: it ends with the first that ends. When one cannot start, the others are stopped. */
export async function together(starts: readonly (Start | { readonly atEnd: () => void })[]): Promise<Component> {
  const atEnd = starts.flatMap((start) => (typeof start === 'function' ? [] : [start.atEnd]))
  const results = await Promise.allSettled(starts.filter((start) => typeof start === 'function').map((start) => start()))
  const components = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  const stop = async (): Promise<void> => {
    await Promise.all(components.map((component) => component.stop()))
    for (const end of atEnd) end()
  }
  const failed = results.find((result) => result.status === 'rejected')
  if (failed !== undefined) {
    await stop()
    throw failed.reason
  }
  return {
    stop,
    get done() {
      return Promise.race(components.map((component) => component.done))
    },
  }
}

/** Runs a component until it ends by itself or SIGTERM or SIGINT comes; then the process ends, with status 0. */
export async function runUntilSignal(starting: Promise<Component>): Promise<void> {
  const { promise: signalled, resolve } = Promise.withResolvers<void>()
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.once(name, () => {
      setTimeout(() => process.exit(0), stopMs).unref()
      resolve()
    })
  }
  const component = await Promise.race([starting, signalled])
  // Asked to end before it began: nothing is to be ended.
  if (component === undefined) process.exit(0)
  setTimeout(flushCompileCache, flushMs).unref()
  await Promise.race([component.done, signalled])
  await component.stop()
  process.exit(0)
}

/** A client from a kubeconfig file. */
export function clientFrom(kubeconfig: string): Client {
  return new Client(httpsTransport(loadKubeconfig(kubeconfig)))
}
