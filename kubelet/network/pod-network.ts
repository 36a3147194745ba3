/** The pod network: the chain of CNI plugins of the first configuration list, run for each sandbox. */
import { existsSync, mkdirSync, watch } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from '../../api/clock.ts'
import { AttachmentCache, type Attachment } from './attachment-cache.ts'
import { isAtLeast, loadNetworkConfig, type JsonObject, type NetworkConfig, type PluginConfig } from './conflist.ts'
import { runPlugin, type Invocation, type PluginHost } from './plugin.ts'

export interface CniOptions {
  /** One directory or several with plugin executables. */
  readonly binDir: string | readonly string[]
  readonly confDir: string
  /** Where results are kept for DEL. */
  readonly cacheDir: string
  readonly timeoutMs?: number
  readonly clock: Clock
}

export interface AttachRequest {
  readonly sandboxId: string
  readonly netnsPath: string
  readonly podNamespace: string
  readonly podName: string
  readonly podUid: string
  /** Values by capability name: `portMappings`, `bandwidth`, `dns`. A plugin gets those that it declares. */
  readonly capabilityArgs: JsonObject
}

export type NetworkStatus = { readonly ready: true } | { readonly ready: false; readonly reason: string }

const ifname = 'eth0'

/** One plugin's configuration for one run (section 3, "Deriving plugin configuration"). */
function executionConfig(network: NetworkConfig, plugin: PluginConfig, capabilityArgs: JsonObject, previous: JsonObject | undefined): JsonObject {
  const { capabilities, ...rest } = plugin
  const declared = Object.entries((capabilities ?? {}) as Record<string, unknown>).filter(([, enabled]) => enabled === true).map(([name]) => name)
  const runtimeConfig = Object.fromEntries(declared.filter((name) => name in capabilityArgs).map((name) => [name, capabilityArgs[name]]))
  return {
    ...rest,
    cniVersion: network.cniVersion,
    name: network.name,
    ...(Object.keys(runtimeConfig).length > 0 ? { runtimeConfig } : {}),
    ...(previous === undefined ? {} : { prevResult: previous }),
  }
}

/** The pod's addresses from a result, without prefix lengths, IPv4 and IPv6 in the order given. */
function addressesOf(result: JsonObject | undefined): string[] {
  const ips = Array.isArray(result?.['ips']) ? (result['ips'] as ReadonlyArray<{ address?: unknown }>) : []
  return ips.map(({ address }) => String(address).split('/')[0] ?? '').filter((address) => address !== '')
}

export class PodNetwork {
  readonly #options: CniOptions
  readonly #host: PluginHost
  readonly #cache: AttachmentCache

  constructor(options: CniOptions) {
    this.#options = options
    const path = typeof options.binDir === 'string' ? [options.binDir] : options.binDir
    this.#host = { path, timeoutMs: options.timeoutMs ?? 120_000, clock: options.clock }
    this.#cache = new AttachmentCache(join(options.cacheDir, 'attachments'))
    mkdirSync(options.confDir, { recursive: true })
  }

  /** ADD of every plugin in order. What a failed chain did is taken back before this rejects. */
  async attach(request: AttachRequest): Promise<string[]> {
    const { sandboxId, netnsPath, podNamespace, podName, podUid, capabilityArgs } = request
    const config = loadNetworkConfig(this.#options.confDir)
    const args = `IgnoreUnknown=1;K8S_POD_NAMESPACE=${podNamespace};K8S_POD_NAME=${podName};K8S_POD_INFRA_CONTAINER_ID=${sandboxId};K8S_POD_UID=${podUid}`
    const attachment: Attachment = { containerId: sandboxId, ifname, netns: netnsPath, args, config, capabilityArgs }
    this.#cache.write(attachment)
    try {
      let result: JsonObject | undefined
      for (const plugin of config.plugins) result = await this.#run('ADD', attachment, plugin, result)
      const addresses = addressesOf(result)
      if (addresses.length === 0) throw new Error(`Cannot attach ${podNamespace}/${podName} to network ${config.name}: its plugins gave no address`)
      this.#cache.write({ ...attachment, ...(result === undefined ? {} : { result }) })
      return addresses
    } catch (error) {
      try {
        await this.detach(sandboxId)
      } catch (second) {
        throw new AggregateError([error, second], `${(error as Error).message}; and then ${(second as Error).message}`, { cause: second })
      }
      throw error
    }
  }

  /** DEL of every plugin in reverse order, with the configuration and result of the ADD. Nothing attached: nothing done. */
  async detach(sandboxId: string): Promise<void> {
    const attachment = this.#cache.read(sandboxId)
    if (attachment !== undefined) {
      // After a reboot the namespace is gone; an empty CNI_NETNS says so to the plugins.
      const reachable = { ...attachment, netns: existsSync(attachment.netns) ? attachment.netns : '' }
      const withResult = isAtLeast(attachment.config.cniVersion, '0.4.0') ? attachment.result : undefined
      for (const plugin of attachment.config.plugins.toReversed()) await this.#run('DEL', reachable, plugin, withResult)
    }
    this.#cache.remove(sandboxId)
  }

  /** CHECK of every plugin in order: rejects when the network of a sandbox that lives is not as ADD left it. */
  async check(sandboxId: string): Promise<void> {
    const attachment = this.#cache.read(sandboxId)
    if (attachment?.result === undefined) throw new Error(`Cannot check the network of sandbox ${sandboxId}: it was never attached`)
    const { config } = attachment
    if (config.disableCheck || !isAtLeast(config.cniVersion, '0.4.0')) return
    for (const plugin of config.plugins) await this.#run('CHECK', attachment, plugin, attachment.result)
  }

  /** The addresses that ADD gave to a sandbox; undefined where it has not succeeded. */
  addresses(sandboxId: string): string[] | undefined {
    const result = this.#cache.read(sandboxId)?.result
    return result === undefined ? undefined : addressesOf(result)
  }

  /** Whether pods can be attached: a configuration is there, and its plugins say that they are ready (STATUS). */
  async status(): Promise<NetworkStatus> {
    try {
      const config = loadNetworkConfig(this.#options.confDir)
      if (isAtLeast(config.cniVersion, '1.1.0')) {
        for (const plugin of config.plugins) await runPlugin(plugin.type, executionConfig(config, plugin, {}, undefined), { command: 'STATUS' }, this.#host)
      }
      return { ready: true }
    } catch (error) {
      return { ready: false, reason: (error as Error).message }
    }
  }

  /** Detaches what no sandbox holds any more, then lets the plugins collect (GC) all but the attachments that stay. */
  async collect(liveSandboxIds: readonly string[]): Promise<void> {
    const live = new Set(liveSandboxIds)
    for (const id of this.#cache.containerIds()) if (!live.has(id)) await this.detach(id)
    const config = loadNetworkConfig(this.#options.confDir)
    if (config.disableGC || !isAtLeast(config.cniVersion, '1.1.0')) return
    const valid = this.#cache.containerIds().map((containerID) => ({ containerID, ifname }))
    for (const plugin of config.plugins) {
      const input = { ...executionConfig(config, plugin, {}, undefined), 'cni.dev/valid-attachments': valid }
      await runPlugin(plugin.type, input, { command: 'GC' }, this.#host)
    }
  }

  /** Calls back when files of the configuration directory change, until closed. */
  onConfigurationChange(changed: () => void): { close(): void } {
    return watch(this.#options.confDir, { persistent: false }, () => changed())
  }

  #run(command: Invocation['command'], attachment: Attachment, plugin: PluginConfig, previous: JsonObject | undefined): Promise<JsonObject | undefined> {
    const { containerId, netns, args, config, capabilityArgs } = attachment
    const invocation: Invocation = { command, containerId, netns, ifname: attachment.ifname, args }
    return runPlugin(plugin.type, executionConfig(config, plugin, capabilityArgs, previous), invocation, this.#host)
  }
}
