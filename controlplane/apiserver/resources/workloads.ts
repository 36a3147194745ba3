// Rows of the groups whose objects make, scale and protect pods.
import type { KubeObject } from '../../../api/types.ts'
import type { ResourceDescriptor } from '../descriptor.ts'
import { valueAt } from '../object.ts'
import { horizontalPodAutoscalerColumns, podDisruptionBudgetColumns } from './columns/cluster.ts'
import { controllerRevisionColumns, cronJobColumns, daemonSetColumns, deploymentColumns, jobColumns, replicaSetColumns, statefulSetColumns } from './columns/workload.ts'
import { rowsOf } from './row.ts'
import { controllerRevisionStrategy } from './strategies/classes.ts'
import {
  autoscalerStrategy, cronJobStrategy, daemonSetStrategy, deploymentStrategy, disruptionBudgetStrategy, jobStrategy, replicaSetStrategy, statefulSetStrategy,
} from './strategies/workloads.ts'

const scale = { specReplicasPath: '.spec.replicas', statusReplicasPath: '.status.replicas', labelSelectorPath: '.spec.selector' }

function count(path: string): (object: KubeObject) => string {
  return (object) => String(valueAt(object, path) ?? 0)
}

export function workloadRows(): ResourceDescriptor[] {
  const apps = rowsOf('apps', 'v1')
  const batch = rowsOf('batch', 'v1')
  return [
    apps.namespaced('ControllerRevision', 'controllerrevisions', controllerRevisionColumns, { strategy: controllerRevisionStrategy }),
    apps.namespaced('DaemonSet', 'daemonsets', daemonSetColumns, { shortNames: ['ds'], categories: ['all'], subresources: ['status'], strategy: daemonSetStrategy }),
    apps.namespaced('Deployment', 'deployments', deploymentColumns, {
      shortNames: ['deploy'], categories: ['all'], subresources: ['scale', 'status'], scale, strategy: deploymentStrategy,
    }),
    apps.namespaced('ReplicaSet', 'replicasets', replicaSetColumns, {
      shortNames: ['rs'], categories: ['all'], subresources: ['scale', 'status'], scale, strategy: replicaSetStrategy, fieldSelectors: { 'status.replicas': count('.status.replicas') },
    }),
    apps.namespaced('StatefulSet', 'statefulsets', statefulSetColumns, {
      shortNames: ['sts'], categories: ['all'], subresources: ['scale', 'status'], scale, strategy: statefulSetStrategy,
    }),
    rowsOf('autoscaling', 'v2').namespaced('HorizontalPodAutoscaler', 'horizontalpodautoscalers', horizontalPodAutoscalerColumns, {
      shortNames: ['hpa'], categories: ['all'], subresources: ['status'], strategy: autoscalerStrategy,
    }),
    batch.namespaced('CronJob', 'cronjobs', cronJobColumns, { shortNames: ['cj'], categories: ['all'], subresources: ['status'], strategy: cronJobStrategy }),
    batch.namespaced('Job', 'jobs', jobColumns, {
      categories: ['all'], subresources: ['status'], strategy: jobStrategy, fieldSelectors: { 'status.successful': count('.status.succeeded') },
    }),
    rowsOf('policy', 'v1').namespaced('PodDisruptionBudget', 'poddisruptionbudgets', podDisruptionBudgetColumns, {
      shortNames: ['pdb'], subresources: ['status'], strategy: disruptionBudgetStrategy,
    }),
  ]
}
