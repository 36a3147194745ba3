// Rows of admissionregistration.k8s.io: who else is asked before something is written.
import type { ResourceDescriptor } from '../descriptor.ts'
import { mutatingPolicyColumns, policyBindingColumns, policyColumns, webhookColumns } from './columns/admission.ts'
import { rowsOf } from './row.ts'
import { bindingStrategy, mutatingBindingStrategy, mutatingPolicyStrategy, policyStrategy, webhookStrategy } from './strategies/admission.ts'

export function admissionRows(): ResourceDescriptor[] {
  const { cluster } = rowsOf('admissionregistration.k8s.io', 'v1')
  const categories = ['api-extensions']
  return [
    cluster('MutatingAdmissionPolicy', 'mutatingadmissionpolicies', mutatingPolicyColumns, { categories, strategy: mutatingPolicyStrategy }),
    cluster('MutatingAdmissionPolicyBinding', 'mutatingadmissionpolicybindings', policyBindingColumns, { categories, strategy: mutatingBindingStrategy }),
    cluster('MutatingWebhookConfiguration', 'mutatingwebhookconfigurations', webhookColumns, { categories, strategy: webhookStrategy(true) }),
    cluster('ValidatingAdmissionPolicy', 'validatingadmissionpolicies', policyColumns, { categories, subresources: ['status'], strategy: policyStrategy }),
    cluster('ValidatingAdmissionPolicyBinding', 'validatingadmissionpolicybindings', policyBindingColumns, { categories, strategy: bindingStrategy }),
    cluster('ValidatingWebhookConfiguration', 'validatingwebhookconfigurations', webhookColumns, { categories, strategy: webhookStrategy(false) }),
  ]
}
