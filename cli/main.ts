/**
 * The `fairway` command: its words and flags. What they do is imported only when it is done, so that every start is quick.
 *
 * Wrong input and every failure end as one sentence on standard error and an exit status other than 0.
 */
import { Command, CommanderError } from 'commander'
import { addClusterCommands } from './cluster-commands.ts'
import { addComponentCommands } from './component-commands.ts'
import { sentenceOf } from './sentence.ts'
import { addStoreCommands } from './store-commands.ts'

/** Wrong usage, as most programs say it; failures are 1. */
const usageStatus = 2

// Whoever reads what we print may stop reading (`fairway up | head -1`): what was asked for is done all the same.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })
}

const program = new Command('fairway')
  .description('A small, complete Kubernetes with the network in the middle')
  .version('0.1.0')
  .showHelpAfterError(false)
  .showSuggestionAfterError(false)
  .enablePositionalOptions()
addClusterCommands(program)
addComponentCommands(program)
addStoreCommands(program)
for (const command of withSubcommands(program)) command.exitOverride().configureOutput({ outputError: () => undefined })

try {
  await program.parseAsync()
} catch (error) {
  process.exitCode = report(error)
}

function withSubcommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withSubcommands)]
}

function report(error: unknown): number {
  if (error instanceof CommanderError) {
    // Help and version have been printed.
    if (error.exitCode === 0) return 0
    const words = process.argv.slice(2)
    if (words.length === 0) return usageStatus
    process.stderr.write(`Cannot run 'fairway ${words.join(' ')}': ${error.message.replace(/^error: /, '')}; see 'fairway --help'\n`)
    return usageStatus
  }
  process.stderr.write(`${sentenceOf(error)}\n`)
  return 1
}
