/** `fairway store`: the state of a cluster as a file, and back. */
import { Option } from 'commander'
import type { Command } from 'commander'

export function addStoreCommands(program: Command): void {
  const store = program.command('store').description('the state of a control plane: export it, import it, give its disk back')
  const common = (command: Command): Command => command
    .addOption(new Option('--data-dir <folder>', 'of the API server').default('/var/lib/fairway/server'))
    .addOption(new Option('--store <store>', 'sqlite (its server stopped) or etcd=URL[,URL]').default('sqlite'))
    .option('--etcd-cafile <file>', 'whose certificates of etcd are believed')
    .option('--etcd-certfile <file>', 'with which certificate to come to etcd')
    .option('--etcd-keyfile <file>', 'and its key')
  common(store.command('export <file>').description('write all objects as of now to a file; secrets are among them'))
    .action(async (file: string, options) => (await import('./commands/store.ts')).runStoreExport(file, options as never))
  common(store.command('import <file>').description('read an export into an empty store'))
    .action(async (file: string, options) => (await import('./commands/store.ts')).runStoreImport(file, options as never))
  common(store.command('defragment').description('give back to the disk what was freed'))
    .action(async (options) => (await import('./commands/store.ts')).runStoreDefragment(options as never))
}
