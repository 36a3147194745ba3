// Groups apps, batch, autoscaling and policy.
import type { AnyObject, CronJob, DaemonSet, Deployment, Job, KubeObject, PodTemplateSpec, ReplicaSet, ReplicationController, StatefulSet } from '../../../../api/types.ts'
import { defaultAutoscaler } from '../defaults/other.ts'
import { defaultTemplate } from '../defaults/pod-spec.ts'
import {
  defaultCronJob, defaultDaemonSet, defaultDeployment, defaultJob, defaultReplicaSet, defaultReplicationController, defaultStatefulSet,
} from '../defaults/workload.ts'
import { validateAutoscaler } from '../validation/autoscaler.ts'
import { validateCronJob, validateJob, validateJobUpdate } from '../validation/job.ts'
import { validateDisruptionBudget } from '../validation/network.ts'
import { validateTemplate } from '../validation/pod-spec.ts'
import {
  validateDaemonSet, validateDeployment, validateReplicaSet, validateReplicationController, validateSelectorUpdate, validateStatefulSet, validateStatefulSetUpdate,
} from '../validation/workload.ts'
import { templateWarnings } from '../validation/warnings.ts'
import { strategyOf } from './rules.ts'

export const deploymentStrategy = strategyOf<Deployment>({ defaults: defaultDeployment, validate: validateDeployment, validateUpdate: validateSelectorUpdate, warnings: templateWarnings })
export const replicaSetStrategy = strategyOf<ReplicaSet>({ defaults: defaultReplicaSet, validate: validateReplicaSet, validateUpdate: validateSelectorUpdate, warnings: templateWarnings })
export const replicationControllerStrategy = strategyOf<ReplicationController>({ defaults: defaultReplicationController, validate: validateReplicationController, warnings: templateWarnings })
export const daemonSetStrategy = strategyOf<DaemonSet>({ defaults: defaultDaemonSet, validate: validateDaemonSet, validateUpdate: validateSelectorUpdate, warnings: templateWarnings })
export const statefulSetStrategy = strategyOf<StatefulSet>({ defaults: defaultStatefulSet, validate: validateStatefulSet, validateUpdate: validateStatefulSetUpdate, warnings: templateWarnings })
export const cronJobStrategy = strategyOf<CronJob>({ defaults: defaultCronJob, validate: validateCronJob })
export const autoscalerStrategy = strategyOf<AnyObject>({ defaults: defaultAutoscaler, validate: validateAutoscaler })
export const disruptionBudgetStrategy = strategyOf<AnyObject>({ validate: validateDisruptionBudget })

export const podTemplateStrategy = strategyOf<KubeObject & { template?: PodTemplateSpec }>({
  defaults: defaultTemplate,
  validate: ({ template }, errors) => {
    if (template !== undefined) validateTemplate(template, 'template', errors)
  },
})

export const jobStrategy = strategyOf<Job>(
  { defaults: defaultJob, validate: validateJob, validateUpdate: validateJobUpdate, warnings: templateWarnings },
  {
    prepareForCreate(job) {
      job.status = {}
      if (job.spec.manualSelector !== true) selectOwnPods(job)
      // A job without labels has those of its pods, these too.
      defaultJob(job)
    },
  },
)

/** A job's pods are told by its uid, so that no two jobs ever claim the same. The names without a group are the older ones. */
function selectOwnPods({ metadata, spec }: Job): void {
  const { uid = '', name = '' } = metadata
  const template = (spec.template.metadata ??= {})
  template.labels = { ...template.labels, 'batch.kubernetes.io/controller-uid': uid, 'batch.kubernetes.io/job-name': name, 'controller-uid': uid, 'job-name': name }
  spec.selector = { ...spec.selector, matchLabels: { ...spec.selector?.matchLabels, 'batch.kubernetes.io/controller-uid': uid } }
}
