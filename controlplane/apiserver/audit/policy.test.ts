import t from 'tap'
import { parseRequest } from '../request-info.ts'
import { decide, parsePolicy } from './policy.ts'

const policy = parsePolicy(`
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- { level: None, users: ["system:kube-proxy"], verbs: [watch], resources: [{ group: "", resources: [endpoints, services] }] }
- { level: None, userGroups: ["system:authenticated"], nonResourceURLs: ["/api*", /version] }
- { level: Request, resources: [{ group: "", resources: [configmaps], resourceNames: [controller-leader] }], namespaces: [kube-system], omitStages: [ResponseStarted], omitManagedFields: false }
- { level: Metadata, resources: [{ group: "", resources: [secrets, configmaps] }] }
- { level: RequestResponse, resources: [{ group: "", resources: [pods, pods/status, "*/scale", services/*] }, { group: apps }] }
- { level: Metadata, namespaces: [""], verbs: [delete] }
`, 'policy.yaml')

const level = (method: string, url: string, name = 'alice', groups = ['system:authenticated']): string => {
  const { pathname, searchParams } = new URL(url, 'http://server')
  return decide(policy, { name, groups }, parseRequest(method, pathname, searchParams)).level
}

await t.test('the first rule that fits decides', async (t) => {
  const cases: [wanted: string, method: string, url: string, name?: string, groups?: string[]][] = [
    ['None', 'GET', '/api/v1/services?watch=1', 'system:kube-proxy'],
    ['None', 'GET', '/api/v1/services', 'system:kube-proxy', []],
    ['None', 'GET', '/apis'],
    ['None', 'GET', '/version'],
    ['None', 'GET', '/metrics'],
    ['Request', 'PUT', '/api/v1/namespaces/kube-system/configmaps/controller-leader'],
    ['Metadata', 'PUT', '/api/v1/namespaces/kube-system/configmaps/other'],
    ['Metadata', 'GET', '/api/v1/namespaces/default/secrets/a'],
    ['RequestResponse', 'GET', '/api/v1/pods'],
    ['RequestResponse', 'PATCH', '/api/v1/namespaces/default/pods/a/status'],
    ['None', 'GET', '/api/v1/namespaces/default/pods/a/log'],
    ['RequestResponse', 'GET', '/api/v1/namespaces/default/services/a/proxy'],
    ['None', 'GET', '/api/v1/namespaces/default/services/a'],
    ['RequestResponse', 'PUT', '/api/v1/namespaces/default/replicationcontrollers/a/scale'],
    ['RequestResponse', 'GET', '/apis/apps/v1/deployments'],
    ['None', 'GET', '/apis/batch/v1/jobs'],
    ['Metadata', 'DELETE', '/api/v1/nodes/a'],
    ['None', 'DELETE', '/apis/batch/v1/namespaces/default/jobs/a'],
  ]
  for (const [wanted, method, url, name, groups] of cases) t.equal(level(method, url, name, groups), wanted, `${method} ${url}`)
})

await t.test('stages and managed fields are left out by the policy and by the rule', async (t) => {
  const at = (url: string) => decide(policy, { name: 'a', groups: [] }, parseRequest('GET', url, new URLSearchParams()))
  t.same([...at('/api/v1/pods').omitStages], ['RequestReceived'])
  t.equal(at('/api/v1/pods').omitManagedFields, true)
  const own = at('/api/v1/namespaces/kube-system/configmaps/controller-leader')
  t.same([...own.omitStages], ['RequestReceived', 'ResponseStarted'])
  t.equal(own.omitManagedFields, false)
})

await t.test('what is wrong with a policy is said, and where', async (t) => {
  const refused = (text: string, words: RegExp): void => void t.throws(() => parsePolicy(text, 'file'), { message: words })
  const rules = (text: string): string => `{ apiVersion: audit.k8s.io/v1, kind: Policy, rules: ${text} }`
  refused('{', /Cannot use the audit policy file: /)
  refused('kind: Policy', /audit\.k8s\.io\/v1/)
  refused(rules('[]'), /no rules/)
  refused(rules('[{ level: Everything }]'), /rules\[0\]\.level must be one of None, Metadata, Request, RequestResponse/)
  refused(rules('[{ level: None }, { level: None, users: alice }]'), /rules\[1\]\.users must be a list of strings/)
  refused(rules('[{ level: None, omitStages: [Never] }]'), /rules\[0\]\.omitStages: "Never" is none of/)
  refused(rules('[{ level: None, nonResourceURLs: ["/a*b"] }]'), /'\*' may only stand at its end/)
  refused(rules('[{ level: None, nonResourceURLs: [/a], namespaces: [b] }]'), /both/)
  refused(rules('[{ level: None, resources: [{ resourceNames: [a] }] }]'), /resourceNames need resources/)
})
