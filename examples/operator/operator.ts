// An operator: keeps a ConfigMap and a Deployment for every Website. `KUBECONFIG=… node examples/operator/operator.ts`.
import { CustomObjectsApi, KubeConfig, KubernetesObjectApi, makeInformer, PatchStrategy } from '@kubernetes/client-node'
import type { KubernetesObject } from '@kubernetes/client-node'

interface Website extends KubernetesObject {
  readonly spec: { readonly text: string; readonly replicas: number }
}

const resource = { group: 'example.com', version: 'v1', plural: 'websites' }
const config = new KubeConfig()
config.loadFromDefault()
const objects = config.makeApiClient(KubernetesObjectApi)
const custom = config.makeApiClient(CustomObjectsApi)

/** What a website needs. What is applied under one name and later left out, the server takes away again. */
function wanted({ metadata, spec }: Website): KubernetesObject[] {
  const { name = '', namespace = '', uid = '' } = metadata ?? {}
  const owned = { name, namespace, ownerReferences: [{ apiVersion: 'example.com/v1', kind: 'Website', name, uid, controller: true }] }
  const labels = { website: name }
  const containers = [{ name: 'web', image: 'busybox:1', command: ['httpd', '-f', '-h', '/www'], volumeMounts: [{ name: 'www', mountPath: '/www' }] }]
  return [
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: owned, data: { 'index.html': spec.text } } as KubernetesObject,
    {
      apiVersion: 'apps/v1', kind: 'Deployment', metadata: owned,
      spec: { replicas: spec.replicas, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers, volumes: [{ name: 'www', configMap: { name } }] } } },
    } as KubernetesObject,
  ]
}

/** Level-triggered: may be called at any time and as often as you like. */
async function reconcile(website: Website): Promise<void> {
  for (const object of wanted(website)) await objects.patch(object, undefined, undefined, 'website-operator', true, PatchStrategy.ServerSideApply)
  const { name = '', namespace = '' } = website.metadata ?? {}
  const status = [{ op: 'add', path: '/status', value: { state: 'Deployed', replicas: website.spec.replicas } }]
  await custom.patchNamespacedCustomObjectStatus({ ...resource, namespace, name, body: status })
}

const informer = makeInformer<Website>(config, '/apis/example.com/v1/websites', () => custom.listClusterCustomObject(resource) as Promise<{ items: Website[] } & KubernetesObject>)
const take = (website: Website): void => void reconcile(website).catch((error: unknown) => console.error('Cannot reconcile', website.metadata?.name, error))
informer.on('add', take)
informer.on('update', take)
informer.on('error', () => void setTimeout(() => void informer.start(), 1000))
await informer.start()
console.log('watching websites')
