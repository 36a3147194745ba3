/** The commands for real machines and for each component alone. */
import type { Command } from 'commander'

export function addComponentCommands(_program: Command): void {
}
