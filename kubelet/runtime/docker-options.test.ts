import t from 'tap'
import { containerOf, labelFilter, sandboxOf } from './docker-names.ts'
import { containerOptions, sandboxOptions } from './docker-options.ts'
import type { DockerDefaults } from './docker-options.ts'
import type { ContainerConfig, Sandbox, SandboxConfig } from './runtime.ts'

const defaults: DockerDefaults = { sandboxImage: 'busybox:1', sandboxCommand: ['sleep', 'infinity'], logMaxSize: '10m', logMaxFiles: 3, oomScoreAdjMin: -500 }
const metadata = { name: 'web', namespace: 'default', uid: 'u', attempt: 1 }
const sandboxConfig: SandboxConfig = { metadata, hostname: 'web', hostNetwork: false, hostPid: false, hostIpc: false, sysctls: {}, labels: { a: 'b' } }

function sandboxFrom(config: SandboxConfig): Sandbox {
  return sandboxOf({ Id: 's1', Created: 1, State: 'running', Labels: sandboxOptions(config, defaults).Labels ?? {} })
}

const config: ContainerConfig = {
  name: 'main', attempt: 3, image: 'busybox:1', command: ['sh'], env: [{ name: 'A', value: '1=2' }],
  mounts: [{ hostPath: '/h', containerPath: '/c', readOnly: true, propagation: 'hostToContainer' }], devices: [], labels: {}, stdin: true, stdinOnce: false, tty: true,
  security: { privileged: false, readOnlyRootFilesystem: true, noNewPrivileges: true, user: '5:6', supplementalGroups: [7], capabilitiesAdd: ['A'], capabilitiesDrop: ['B'], seccomp: 'unconfined' },
  resources: { cpuShares: 256, cpuQuotaUs: 50_000, memoryLimitBytes: 1024, oomScoreAdj: -997 }, sharedPids: false,
}

t.test('a sandbox sleeps without a network, and is found again by its labels', (t) => {
  t.match(sandboxOptions(sandboxConfig, defaults), { name: 'k8s_POD_web_default_u_1', Image: 'busybox:1', Hostname: 'web', HostConfig: { NetworkMode: 'none', IpcMode: 'shareable', OomScoreAdj: -500 } })
  t.match(sandboxFrom(sandboxConfig), { id: 's1', metadata, state: 'ready', labels: { a: 'b' } })
  t.same(labelFilter('container', 'u'), ['io.kubernetes.docker.type=container', 'io.kubernetes.pod.uid=u'])
  t.end()
})

t.test('a container joins its sandbox, with the limits and rights that it was given', (t) => {
  const options = containerOptions(sandboxFrom(sandboxConfig), config, defaults)
  t.match(options, {
    name: 'k8s_main_web_default_u_3', Entrypoint: ['sh'], Env: ['A=1=2'], User: '5:6', Tty: true, OpenStdin: true,
    HostConfig: {
      NetworkMode: 'container:s1', IpcMode: 'container:s1', Binds: ['/h:/c:ro,rslave'], ReadonlyRootfs: true, CapAdd: ['A'], CapDrop: ['B'], GroupAdd: ['7'],
      SecurityOpt: ['seccomp=unconfined', 'no-new-privileges'], CpuQuota: 50_000, Memory: 1024, MemorySwap: 1024, OomScoreAdj: -500,
    },
  })
  t.notOk('Cmd' in options, 'without arguments none are given')
  t.match(containerOf({ Id: 'c', Created: 1, State: 'exited', Labels: options.Labels ?? {} }), { sandboxId: 's1', podUid: 'u', name: 'main', attempt: 3, state: 'exited' })
  t.end()
})

t.test('namespaces of the host are shared by all of a pod that asks for them', (t) => {
  const onHost = { ...sandboxConfig, hostNetwork: true, hostPid: true, hostIpc: true }
  t.match(sandboxOptions(onHost, defaults).HostConfig, { NetworkMode: 'host', IpcMode: 'host', PidMode: 'host', UTSMode: 'host' })
  t.match(containerOptions(sandboxFrom(onHost), config, defaults).HostConfig, { IpcMode: 'host', PidMode: 'host', UTSMode: 'host' })
  t.equal(containerOptions(sandboxFrom(sandboxConfig), { ...config, sharedPids: true }, defaults).HostConfig?.PidMode, 'container:s1')
  t.end()
})
