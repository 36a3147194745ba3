// Rows of the groups whose objects make, scale and protect pods.
import type { KubeObject } from '../../../api/types.ts'
import type { ResourceDescriptor } from '../descriptor.ts'
import { valueAt } from '../object.ts'
import { horizontalPodAutoscalerColumns, podDisruptionBudgetColumns } from './columns/cluster.ts'
import { controllerRevisionColumns, cronJobColumns, daemonSetColumns, deploymentColumns, jobColumns, replicaSetColumns, statefulSetColumns } from './columns/workload.ts'
import { rowsOf } from './row.ts'

const scale = { specReplicasPath: '.spec.replicas', statusReplicasPath: '.status.replicas', labelSelectorPath: '.spec.selector' }

function count(path: string): (object: KubeObject) => string {
  return (object) => String(valueAt(object, path) ?? 0)
}

export function workloadRows(): ResourceDescriptor[] {
  const apps = rowsOf('apps', 'v1')
  const batch = rowsOf('batch', 'v1')
  return [
    apps.namespaced('ControllerRevision', 'controllerrevisions', controllerRevisionColumns),
    apps.namespaced('DaemonSet', 'daemonsets', daemonSetColumns, { shortNames: ['ds'], categories: ['all'], subresources: ['status'] }),
    apps.namespaced('Deployment', 'deployments', deploymentColumns, { shortNames: ['deploy'], categories: ['all'], subresources: ['scale', 'status'], scale }),
    apps.namespaced('ReplicaSet', 'replicasets', replicaSetColumns, {
      shortNames: ['rs'], categories: ['all'], subresources: ['scale', 'status'], scale, fieldSelectors: { 'status.replicas': count('.status.replicas') },
    }),
    apps.namespaced('StatefulSet', 'statefulsets', statefulSetColumns, { shortNames: ['sts'], categories: ['all'], subresources: ['scale', 'status'], scale }),
    rowsOf('autoscaling', 'v2').namespaced('HorizontalPodAutoscaler', 'horizontalpodautoscalers', horizontalPodAutoscalerColumns, {
      shortNames: ['hpa'], categories: ['all'], subresources: ['status'],
    }),
    batch.namespaced('CronJob', 'cronjobs', cronJobColumns, { shortNames: ['cj'], categories: ['all'], subresources: ['status'] }),
    batch.namespaced('Job', 'jobs', jobColumns, { categories: ['all'], subresources: ['status'], fieldSelectors: { 'status.successful': count('.status.succeeded') } }),
    rowsOf('policy', 'v1').namespaced('PodDisruptionBudget', 'poddisruptionbudgets', podDisruptionBudgetColumns, { shortNames: ['pdb'], subresources: ['status'] }),
  ]
}
