import { createReadStream, existsSync, statSync } from 'node:fs'
import { requireConfig } from '../local/config.ts'
import { engineOf, importRootfs, loadArchive } from '../local/engine.ts'
import { hostInits } from '../local/processes.ts'
import { print, requireRoot } from '../terminal.ts'
import { sentenceOf } from '../sentence.ts'

/** `fairway image load` */
export async function loadImage(file: string, cluster: string): Promise<void> {
  requireConfig(cluster)
  const names = await onEveryHost(`load ${file}`, file, cluster, (engine) => loadArchive(engine, createReadStream(file)))
  if (names.flat().length === 0) throw new Error(`Cannot load ${file}: it is no archive of images that 'docker save' wrote; a root file system is brought in by 'fairway image import'`)
  print(`Loaded ${[...new Set(names.flat())].join(', ')} onto ${names.length} hosts`)
}

/** `fairway image import` */
export async function importImage(file: string, name: string, cluster: string): Promise<void> {
  requireConfig(cluster)
  if (!/^[a-z0-9][a-z0-9._:/-]*$/.test(name)) throw new Error(`Cannot import ${file} as ${JSON.stringify(name)}: an image is named like 'mine:1'`)
  const done = await onEveryHost(`import ${file}`, file, cluster, (engine) => importRootfs(engine, createReadStream(file), name))
  print(`Imported ${name} onto ${done.length} hosts`)
}

async function onEveryHost<T>(what: string, file: string, cluster: string, run: (engine: ReturnType<typeof engineOf>) => Promise<T>): Promise<T[]> {
  requireRoot(`${what} onto the hosts`)
  if (!existsSync(file) || !statSync(file).isFile()) throw new Error(`Cannot ${what}: there is no such file`)
  const { nodes } = requireConfig(cluster)
  const inits = hostInits(cluster)
  const stopped = nodes.filter((host) => !inits.has(host))
  if (stopped.length > 0) throw new Error(`Cannot ${what} onto every host: ${stopped.join(', ')} does not run; 'fairway up --name ${cluster}' starts it`)
  return Promise.all(nodes.map(async (host) => {
    try {
      return await run(engineOf(inits.get(host) ?? 0))
    } catch (error) {
      throw new Error(`Cannot ${what} onto ${host}: ${sentenceOf(error)}`, { cause: error })
    }
  }))
}
