/** The commands for real machines (`server`, `agent`) and for each component alone. */
import { hostname } from 'node:os'
import { Option } from 'commander'
import type { Command } from 'commander'
import { address, addressAndPort, cidr, cidrOrPrimary, collect, durationMs, ofEachFamily, overlay, port, portRange, repeat, wholeNumber } from './option-values.ts'

const kubeconfigOption = (): Option => new Option('--kubeconfig <file>', 'how to reach the API server, and as whom').makeOptionMandatory()
const nodeNameOption = (): Option => new Option('--node-name <name>', 'this node').default(hostname().toLowerCase())
const logLevelOption = (): Option => new Option('--log-level <level>', 'what is written to standard error').choices(['debug', 'info', 'warn', 'error']).default('info')
const secondsMax = 86_400

export function addComponentCommands(program: Command): void {
  addServers(program)
  addBalancer(program)
  addAgent(program.command('agent').description('all of a node: join a cluster, then kubelet, proxy, overlay and CNI service'))
  addKubelet(program.command('kubelet').description('the kubelet alone'))
  addProxy(program.command('proxy').description('the service proxy alone; programs the network namespace it runs in'))
  addDns(program.command('dns').description('the cluster DNS server alone'))
  addCni(program.command('cni').description('the CNI plugin: install it, serve it, look at it'))
  for (const name of ['scheduler', 'controller-manager'] as const) addControlLoop(program, name)
}

function addServers(program: Command): void {
  const common = (command: Command): Command => command
    .addOption(new Option('--data-dir <folder>', 'keys and state; the same folder gives the same credentials').default('/var/lib/fairway/server'))
    .addOption(new Option('--store <store>', 'sqlite, memory or etcd=URL[,URL]').default('sqlite'))
    .option('--etcd-cafile <file>', 'whose certificates of etcd are believed')
    .option('--etcd-certfile <file>', 'with which certificate to come to etcd')
    .option('--etcd-keyfile <file>', 'and its key')
    .addOption(new Option('--bind <address>', 'address to listen on').default('0.0.0.0').argParser(address))
    .addOption(new Option('--port <port>', 'port to listen on; 0 takes a free one').default(6443).argParser(port))
    .addOption(new Option('--advertise-address <address>', 'address under which others reach it').argParser(address))
    .addOption(new Option('--tls-san <name>', 'further address or name under which clients come, as of a balancer; may be given again').argParser(collect((text) => text)))
    .option('--write-kubeconfig <file>', "write the administrator's kubeconfig here once it serves")
    .option('--audit-log-path <file>', "write who asked for what, and what was answered, here; '-': to standard output")
    .option('--audit-policy-file <file>', 'of what to write how much (a Policy of audit.k8s.io/v1); left out: metadata of everything')
    .addOption(new Option('--audit-log-maxsize <MiB>', 'begin another file when the log is so large').default(100).argParser(wholeNumber(1, 100_000)))
    .addOption(new Option('--audit-log-maxbackup <count>', 'keep so many older files; 0: all').default(10).argParser(wholeNumber(0, 100_000)))
    .addOption(new Option('--audit-log-maxage <days>', 'keep older files for so long; 0: as long as there are not too many').default(0).argParser(wholeNumber(0, 36_500)))
    .option('--write-token <file>', 'write a token for hosts to join with here once it serves')
    .addOption(new Option('--service-cluster-ip-range <range>', 'addresses of services; for two families, one of each with a comma between').default('10.96.0.0/12').argParser(ofEachFamily(cidr)))
    .addOption(new Option('--service-node-port-range <range>', 'ports of NodePort services').default('30000-32767').argParser(portRange))
    .addOption(new Option('--cluster-dns <address>', 'address of the cluster DNS service, one of each family').default('10.96.0.10').argParser(ofEachFamily(address)))
    .addOption(new Option('--default-not-ready-toleration-seconds <seconds>', 'how long pods stay on a node that is not ready').default(300).argParser(wholeNumber(0, secondsMax)))
    .addOption(new Option('--default-unreachable-toleration-seconds <seconds>', 'how long pods stay on a node that is not heard').default(300).argParser(wholeNumber(0, secondsMax)))
    .addOption(logLevelOption())
  common(program.command('apiserver').description('the API server alone'))
    .action(async (options) => (await import('./commands/apiserver.ts')).runApiServer(options as never))
  addControllerOptions(common(program.command('server').description('a control plane: API server, scheduler and controllers in one process')))
    .option('--leader-elect', 'with several control planes on one etcd: scheduler and controllers run in one of them, chosen by Leases')
    .option('--route-pods', "keep routes to pods by way of their nodes' addresses: for a control plane on the nodes' link that is no node itself")
    .action(async (options) => (await import('./commands/server.ts')).runServer(options as never))
}

function addBalancer(program: Command): void {
  program.command('balancer').description('one address before several API servers: passes connections on to those that are ready')
    .addOption(new Option('--listen <address:port>', 'where clients come to; may be given again').makeOptionMandatory().argParser(collect(addressAndPort)))
    .requiredOption('--server <urls>', 'the API servers, with commas between')
    .addOption(logLevelOption())
    .action(async (options) => (await import('./commands/balancer.ts')).runBalancer(options as never))
}

function addControllerOptions(command: Command): Command {
  return command
    .addOption(new Option('--cluster-cidr <range>', 'addresses of pods, a /24 for each node').default(['10.244.0.0/16']).argParser(collect(cidr)))
    .addOption(new Option('--node-monitor-grace-period <duration>', 'a node not heard for so long is not ready').default(40_000, '40s').argParser(durationMs))
}

function addControlLoop(program: Command, name: 'scheduler' | 'controller-manager'): void {
  if (name === 'scheduler') {
    program.command(name).description('the scheduler alone').addOption(kubeconfigOption()).option('--leader-elect', 'wait until the Lease is ours: for several of them').addOption(logLevelOption())
      .action(async (options) => (await import('./commands/scheduler.ts')).runScheduler(options as never))
    return
  }
  addControllerOptions(program.command(name).description('the controllers alone').addOption(kubeconfigOption()).addOption(logLevelOption()))
    .option('--leader-elect', 'wait until the Lease is ours: for several of them')
    .addOption(new Option('--controllers <names>', "which run, with commas between: '*', a name, '-name' for all but that one").default(['*'], '*').argParser((text: string) => text.split(',')))
    .action(async (options) => (await import('./commands/controller-manager.ts')).runControllerManager(options as never))
}

/** What agent and kubelet have in common. */
function addNodeOptions(command: Command): Command {
  return command
    .addOption(nodeNameOption())
    .addOption(new Option('--node-ip <address>', "the node's own address; left out, that of the link to the API server").argParser(collect(address)))
    .addOption(new Option('--node-labels <labels>', 'labels of the node, as key=value,…').default(''))
    .addOption(new Option('--runtime <runtime>', 'what runs containers').choices(['docker', 'cri']).default('docker'))
    .addOption(new Option('--runtime-endpoint <url>', "the engine's socket").default('unix:///run/docker.sock'))
    .addOption(new Option('--pod-infra-container-image <image>', 'what sandboxes run').default('busybox:1'))
    .addOption(new Option('--cluster-dns <address>', 'name server of pods').default(['10.96.0.10']).argParser(collect(address)))
    .addOption(new Option('--cluster-domain <zone>', 'zone of the cluster').default('cluster.local'))
    .addOption(new Option('--node-lease-duration-seconds <seconds>', 'a node not heard for so long is taken as gone').default(40).argParser(wholeNumber(4, secondsMax)))
    .addOption(new Option('--max-pods <count>', 'pods that the node takes').default(110).argParser(wholeNumber(1, 10_000)))
    .addOption(logLevelOption())
}

function addAgent(agent: Command): void {
  addNodeOptions(agent)
    .requiredOption('--server <url>', 'the API server, such as https://192.0.2.1:6443; several with commas between')
    .option('--token <token>', 'what to join with')
    .option('--token-file <file>', 'a file that holds the token; waited for')
    .addOption(new Option('--data-dir <folder>', 'keys and state').default('/var/lib/fairway/agent'))
    .addOption(new Option('--overlay <overlay>', 'how pods of different hosts reach each other: vxlan, host-gw, direct or wireguard').default('vxlan').argParser(overlay))
    .addOption(new Option('--wireguard-program <file>', 'what encrypts where the kernel has no WireGuard; left out, wireguard-go or boringtun-cli in PATH').env('WG_QUICK_USERSPACE_IMPLEMENTATION'))
    .addOption(new Option('--metrics-bind-address <address:port>', "where /metrics of CNI plugin, overlay and proxy is served; 'none': nowhere").default('127.0.0.1:10249').argParser((text) => (text === 'none' || addressAndPort(text), text)))
    .addOption(new Option('--service-cluster-ip-range <range>', 'addresses of services: packets to those without a service are dropped; may be given again').default(['10.96.0.0/12']).argParser(collect(cidr)))
    .addOption(ingressOption())
    .action(async (options) => (await import('./commands/agent.ts')).runAgent(options as never))
}

function addKubelet(kubelet: Command): void {
  addNodeOptions(kubelet)
    .addOption(kubeconfigOption())
    .addOption(new Option('--data-dir <folder>', 'volumes and state').default('/var/lib/fairway/kubelet'))
    .option('--cni-bin-dir <folder>', 'where CNI plugins are', '/opt/cni/bin')
    .option('--cni-conf-dir <folder>', 'where CNI configurations are', '/etc/cni/net.d')
    .addOption(new Option('--port <port>', 'for logs and exec; 0: no server').default(10_250).argParser(port))
    .option('--tls-cert-file <file>', "the server's certificate; left out, there is no server")
    .option('--tls-private-key-file <file>', 'its key')
    .option('--client-ca-file <file>', 'whose clients it lets in')
    .action(async (options) => (await import('./commands/kubelet.ts')).runKubelet(options as never))
}

function nodePortAddressesOption(): Option {
  return new Option('--nodeport-addresses <ranges>', "addresses of this host that node ports are served on, 'primary' for the node's own; left out, these and 127.0.0.1").argParser(collect(cidrOrPrimary))
}

function ingressOption(): Option {
  return new Option('--ingress <address:port,…>', 'serve ingresses here, HTTP and TLS; left out, nowhere').argParser((text) => text.split(',').map(addressAndPort))
}

function addProxy(proxy: Command): void {
  proxy.enablePositionalOptions().option('--kubeconfig <file>', 'how to reach the API server, and as whom').addOption(nodeNameOption()).addOption(logLevelOption())
    .addOption(nodePortAddressesOption())
    .addOption(new Option('--healthz-bind-address <address>', "where /healthz is served; 'none': nowhere").default('127.0.0.1:10256').argParser((text) => (text === 'none' || addressAndPort(text), text)))
    .addOption(new Option('--metrics-bind-address <address>', "where /metrics and /proxyMode are served; 'none': nowhere").default('127.0.0.1:10249').argParser((text) => (text === 'none' || addressAndPort(text), text)))
    .addOption(new Option('--service-cluster-ip-range <range>', 'addresses of services: packets to those without a service are dropped; may be given again').argParser(collect(cidr)))
    .addOption(ingressOption())
    .action(async (options) => (await import('./commands/proxy.ts')).runProxy(options as never))
  proxy.command('cleanup').description('remove all that the proxy made in this network namespace')
    .action(async () => (await import('./commands/proxy.ts')).runCleanup())
  proxy.command('explain').description('where packets to a service go, and why').argument('<service[:port]>', 'such as default/web:80')
    .option('--kubeconfig <file>', 'how to reach the API server, and as whom').addOption(nodeNameOption()).addOption(nodePortAddressesOption())
    .action(async (service: string, options) => (await import('./commands/proxy.ts')).runExplain(service, options as never))
}

function addDns(dns: Command): void {
  const common = (command: Command): Command => command
    .option('--kubeconfig <file>', 'how to reach the API server, and as whom')
    .addOption(new Option('--zone <zone>', 'zone of the cluster').default('cluster.local'))
    .addOption(new Option('--pods <mode>', 'names of pods by their address').choices(['disabled', 'insecure', 'verified']).default('disabled'))
    .addOption(new Option('--upstream <address[:port]>', 'server for other names; may be given again').argParser(collect((text) => text)))
    .option('--resolv-conf <file>', 'take the servers for other names from here')
    .addOption(new Option('--stub <zone=address[:port],…>', 'servers of one zone; may be given again').argParser(repeat((text) => text)))
    .addOption(new Option('--namespaces <names>', 'names of these namespaces alone, with commas between').argParser((text: string) => text.split(',')))
    .option('--labels <selector>', 'names of services with these labels alone')
    .option('--namespace-labels <selector>', 'names of namespaces with these labels alone')
    .option('--no-endpoints', 'no names of endpoints, and none of headless services')
    .option('--ignore-empty-services', 'no names of services without a ready endpoint')
    .option('--endpoint-pod-names', 'endpoints without a hostname have the names of their pods')
    .option('--autopath', "search in pods' stead: whoever asks in its first search domain gets what its whole search would find")
    .addOption(new Option('--ttl <seconds>', "time to live of the cluster's answers").default(5).argParser(wholeNumber(0, 3600)))
  common(dns.enablePositionalOptions()).addOption(logLevelOption())
    .option('--wait', 'wait for the kubeconfig to appear')
    .option('--snapshot <file>', 'keep what is known here, and answer from it at once after a restart')
    .addOption(new Option('--rate-limit <number>', 'answers a second that one client may have; 0: no limit').default(0).argParser(wholeNumber(0, 10_000_000)))
    .addOption(new Option('--query-log <number>', 'write down one question in so many; 0: none').default(0).argParser(wholeNumber(0, 10_000_000)))
    .addOption(new Option('--listen <address:port>', 'where to answer; may be given again').argParser(collect(addressAndPort)))
    .addOption(new Option('--tls-listen <address:port>', 'where to answer with TLS; may be given again').argParser(collect(addressAndPort)))
    .addOption(new Option('--https-listen <address:port>', 'where to answer with HTTPS, at /dns-query; may be given again').argParser(collect(addressAndPort)))
    .option('--tls-cert <file>', 'certificate for those two; read again when it changes')
    .option('--tls-key <file>', 'and its key')
    .option('--config-map <namespace/name>', 'settings that come before these flags, taken again when they change')
    .option('--hand-over <file>', 'take over from the process that listens on this Unix socket, and listen there for the next')
    .addOption(new Option('--health <address:port>', 'where /health, /ready and /metrics are served').argParser(addressAndPort))
    .action(async (options) => (await import('./commands/dns.ts')).runDns(options as never))
  common(dns.command('query').description('what would be answered, and by which part').argument('<name>').argument('[type]', 'A, AAAA, SRV, PTR, …', 'A').option('--pod <namespace/name>', 'as that pod would be answered'))
    .action(async (name: string, type: string, options) => (await import('./commands/dns.ts')).runQuery(name, type, options as never))
}

function addCni(cni: Command): void {
  cni.command('install').description("write the executables 'fairway' and 'fairway-ipam'")
    .requiredOption('--bin-dir <folder>', 'where to').option('--conf-dir <folder>', 'write a configuration here as well')
    .addOption(new Option('--pod-cidr <range>', 'range of the configuration (default: 10.244.0.0/24)').argParser(collect(cidr)))
    .option('--no-ip-masq', 'pods leave with their own address, as something else changes it or routes lead back')
    .option('--socket <file>', 'the resident part')
    .action(async (options) => (await import('./commands/cni.ts')).runInstall(options as never))
  cni.command('serve').description('the resident part alone, which the agent otherwise holds').option('--socket <file>', 'where it listens').addOption(logLevelOption())
    .action(async (options) => (await import('./commands/cni.ts')).runServe(options as never))
  cni.command('status').description('addresses in use by pod, what is free, and the peers').option('--data-dir <folder>', 'the address journals')
    .option('--conf-dir <folder>', 'the configuration, which says which ranges there are')
    .action(async (options) => (await import('./commands/cni.ts')).runStatus(options as never))
}
