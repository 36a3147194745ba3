import { existsSync, readFileSync } from 'node:fs'
import { requireConfig } from '../local/config.ts'
import { clusterPaths } from '../local/paths.ts'
import { requireRoot } from '../terminal.ts'

/** `fairway kubeconfig` */
export function runKubeconfig({ name }: { readonly name: string }): void {
  requireRoot("read the administrator's credentials")
  requireConfig(name)
  const { kubeconfig } = clusterPaths(name)
  if (!existsSync(kubeconfig)) throw new Error(`Cannot print the kubeconfig of cluster ${name}: it did not come up; 'fairway up --name ${name}' tries again`)
  process.stdout.write(readFileSync(kubeconfig, 'utf8'))
}
