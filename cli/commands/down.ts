import { allClusters, down } from '../local/down.ts'
import { print, requireRoot } from '../terminal.ts'

/** `fairway down` */
export async function runDown({ name, all }: { readonly name: string; readonly all?: boolean }): Promise<void> {
  requireRoot('take a cluster down')
  const names = all === true ? allClusters() : [name]
  if (names.length === 0) print('There is no cluster')
  for (const one of names) print((await down(one, print)) ? `Cluster ${one} is gone` : `There is no cluster ${one}`)
}
