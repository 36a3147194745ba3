/** The commands for local clusters: `up`, `down`, `status`, `node`, `kubeconfig`, `image`, `kubectl`, `trace`. */
import { Option } from 'commander'
import type { Command } from 'commander'
import type { TraceFlags } from './commands/trace.ts'
import type { UpFlags } from './commands/up.ts'
import { overlay, wholeNumber } from './option-values.ts'

const nodesMax = 100
const nameOption = (): Option => new Option('--name <name>', 'the cluster').default('dev')

export function addClusterCommands(program: Command): void {
  program.command('up').description('make or start a local cluster, or find it running')
    .addOption(nameOption())
    .addOption(new Option('--nodes <count>', 'hosts beside that of the control plane').default(2).argParser(wholeNumber(1, nodesMax)))
    .addOption(new Option('--control-planes <count>', 'hosts with a control plane; three survive the loss of one').default(1).argParser(wholeNumber(1, 9)))
    .addOption(new Option('--store <store>', 'where the state is kept: sqlite, or etcd with a member on each control plane (default: sqlite, etcd with several control planes)'))
    .addOption(new Option('--runtime <runtime>', 'what runs containers').choices(['docker', 'cri']).default('docker'))
    .addOption(new Option('--overlay <overlay>', 'how pods of different hosts reach each other: vxlan, host-gw, direct or wireguard').default('vxlan').argParser(overlay))
    .addOption(new Option('--ip-family <family>', 'addresses of pods and services').choices(['ipv4', 'ipv6', 'dual']).default('ipv4'))
    .option('--outbound', 'let hosts and pods reach beyond this machine: it forwards for them, and registries can be used')
    .option('--ingress', 'serve ingresses on port 80 of every host, HTTP and TLS')
    .option('--demo', 'then show who reaches what')
    .action(async (options) => (await import('./commands/up.ts')).runUp(options as UpFlags))
  program.command('down').description('remove a local cluster; leaves nothing behind')
    .addOption(nameOption())
    .option('--all', 'every local cluster')
    .action(async (options) => (await import('./commands/down.ts')).runDown(options as { name: string; all?: boolean }))
  program.command('status').description('hosts, components, addresses and health of local clusters')
    .option('--name <name>', 'the cluster; all of them if left out')
    .action(async (options) => (await import('./commands/status.ts')).runStatus(options as { name?: string }))
  program.command('kubeconfig').description("print the administrator's kubeconfig")
    .addOption(nameOption())
    .action(async (options) => (await import('./commands/kubeconfig.ts')).runKubeconfig(options as { name: string }))
  program.command('kubectl').description('run kubectl on a local cluster').argument('[arguments...]', "kubectl's own")
    .addOption(new Option('--name <name>', 'the cluster (before the arguments of kubectl)').default('dev'))
    .passThroughOptions().allowUnknownOption().helpOption(false)
    .action(async (args: string[], options) => (await import('./commands/kubectl.ts')).runKubectl(args, options as { name: string }))
  program.command('trace').description('why does, or does not, this reach that')
    .argument('<from>', 'pod/[NAMESPACE/]NAME or node/NAME').argument('<to>', 'svc/[NAMESPACE/]NAME[:PORT], pod/[NAMESPACE/]NAME[:PORT] or ADDRESS[:PORT]')
    .addOption(nameOption())
    .option('-n, --namespace <namespace>', 'of what is named without one', 'default')
    .addOption(new Option('--protocol <protocol>', "default: that of the service's port, or tcp").choices(['tcp', 'udp']))
    .action(async (from: string, to: string, options) => (await import('./commands/trace.ts')).runTrace(from, to, options as TraceFlags))
  addNodeCommands(program.command('node').description('try out failures: stop, start, partition and heal hosts; run programs in them'))
  addImageCommands(program.command('image').description('bring images onto every host'))
}

function addNodeCommands(node: Command): void {
  const descriptions = {
    stop: 'pull the plug of a host: everything in it ends at once',
    start: 'start a stopped host again',
    partition: 'unplug the cable of a host',
    heal: 'plug it in again',
  } as const
  for (const [verb, description] of Object.entries(descriptions) as [keyof typeof descriptions, string][]) {
    node.command(verb).description(description).argument('<host>', 'such as node-1')
      .addOption(nameOption())
      .action(async (host: string, options) => (await import('./commands/node.ts')).runNode(verb, host, (options as { name: string }).name))
  }
  node.command('exec').description('run a program in a host, a shell if none is named').argument('<host>', 'such as node-1, control-plane or switch').argument('[command...]')
    .addOption(nameOption())
    .passThroughOptions()
    .action(async (host: string, command: string[], options) => (await import('./commands/node.ts')).execInNode(host, command, (options as { name: string }).name))
}

function addImageCommands(image: Command): void {
  image.command('load').description("load an archive that 'docker save' wrote").argument('<file>')
    .addOption(nameOption())
    .option('--cluster <name>', 'the same, as `image import` has it')
    .action(async (file: string, options) => {
      const { name, cluster = name } = options as { name: string; cluster?: string }
      await (await import('./commands/image.ts')).loadImage(file, cluster)
    })
  image.command('import').description('make an image from the tar archive of a root file system').argument('<rootfs>')
    .requiredOption('--name <reference>', 'name of the image')
    .addOption(new Option('--cluster <name>', 'the cluster').default('dev'))
    .action(async (file: string, options) => {
      const { name, cluster } = options as { name: string; cluster: string }
      await (await import('./commands/image.ts')).importImage(file, name, cluster)
    })
}
