import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, readdirSync, renameSync, rmSync, statSync, utimesSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { FakeClock } from '../../../api/clock.ts'
import { silentLogger } from '../../../api/log.ts'
import { admin, ask, startTestServer } from '../test-support/server.ts'
import { LogFile } from './log-file.ts'

const folder = mkdtempSync(join(tmpdir(), 'fairway-audit-'))
t.teardown(() => rmSync(folder, { recursive: true }))

interface Event {
  readonly level: string
  readonly stage: string
  readonly verb: string
  readonly requestURI: string
  readonly requestObject?: Record<string, unknown>
  readonly responseObject?: Record<string, unknown>
  readonly [name: string]: unknown
}

const policy = {
  source: 'policy.yaml',
  text: `
apiVersion: audit.k8s.io/v1
kind: Policy
omitManagedFields: true
rules:
- { level: Metadata, resources: [{ group: "", resources: [secrets] }] }
- { level: RequestResponse, resources: [{ group: "", resources: [configmaps] }], verbs: [create, list, watch] }
- { level: Request, resources: [{ group: "", resources: [configmaps] }], omitStages: [RequestReceived] }
`,
}

const maps = '/api/v1/namespaces/default/configmaps'

async function logged(requests: (server: Parameters<typeof ask>[0]) => Promise<unknown>): Promise<Event[]> {
  const path = join(folder, `audit-of-${Math.random()}.log`)
  const release: (() => Promise<void>)[] = []
  const { server } = await startTestServer({ teardown: (callback) => void release.push(callback) }, { audit: { path, policy } })
  await requests(server)
  for (const one of release) await one()
  t.equal(statSync(path).mode & 0o777, 0o600)
  return readFileSync(path, 'utf8').split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Event)
}

await t.test('as much is written as the policy says', async (t) => {
  const events = await logged(async (server) => {
    await ask(server, 'POST', maps, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' }, data: { key: 'value' } })
    await ask(server, 'PATCH', `${maps}/a`, { data: { key: 'other' } }, { 'content-type': 'application/merge-patch+json' })
    await ask(server, 'POST', '/api/v1/namespaces/default/secrets', { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' }, stringData: { password: 'hunter2' } })
    await ask(server, 'GET', '/api/v1/namespaces/default/secrets/s')
    await ask(server, 'GET', maps)
    await ask(server, 'GET', '/api/v1/pods')
  })
  const stages = (verb: string): unknown[] => events.filter((event) => event.verb === verb && event.requestURI.startsWith(maps)).map(({ stage }) => stage)
  t.same(stages('create'), ['RequestReceived', 'ResponseComplete'])
  t.same(stages('patch'), ['ResponseComplete'])
  const [created] = events.filter(({ verb, stage, requestURI }) => verb === 'create' && stage === 'ResponseComplete' && requestURI === maps)
  t.match(created, {
    level: 'RequestResponse', user: { username: 'admin' }, objectRef: { resource: 'configmaps', namespace: 'default', apiVersion: 'v1' }, responseStatus: { code: 201 },
    requestObject: { data: { key: 'value' } }, responseObject: { metadata: { name: 'a', uid: /./ }, data: { key: 'value' } }, annotations: { 'authorization.k8s.io/decision': 'allow' },
  })
  t.notMatch(JSON.stringify(created), /managedFields/)
  const [patched] = events.filter(({ verb }) => verb === 'patch')
  t.same([patched?.level, patched?.requestObject, patched?.responseObject], ['Request', { data: { key: 'other' } }, undefined])
  t.match(events.filter(({ verb }) => verb === 'list').at(-1)?.responseObject, { kind: 'ConfigMapList' })
  t.notMatch(JSON.stringify(events), /hunter2|aHVudGVyMg/, 'what is in a secret is not in the log')
  t.same(events.filter(({ requestURI }) => /pods/.test(requestURI)), [], 'and what no rule names is not there')
})

await t.test('a watch is written when it starts and when it ends, and refusals are', async (t) => {
  const events = await logged(async (server) => {
    await ask(server, 'GET', `${maps}?watch=1&timeoutSeconds=1`)
    const nobody = { name: 'nobody', groups: [] }
    await ask(server, 'GET', `${maps}/a`, undefined, {}, nobody)
    await ask(server, 'GET', `${maps}/a`, undefined, { 'impersonate-user': 'jane' }, admin)
  })
  t.same(events.filter(({ verb }) => verb === 'watch').map(({ stage }) => stage), ['RequestReceived', 'ResponseStarted', 'ResponseComplete'])
  const [refused, impersonated] = events.filter(({ verb }) => verb === 'get')
  t.match(refused, { user: { username: 'nobody' }, responseStatus: { code: 403, status: 'Failure', reason: 'Forbidden' }, annotations: { 'authorization.k8s.io/decision': 'forbid' } })
  t.match(impersonated, { user: { username: 'admin' }, impersonatedUser: { username: 'jane' }, responseStatus: { code: 403 } })
})

await t.test('a full file steps aside, and old ones go', async (t) => {
  const clock = new FakeClock()
  const place = join(folder, 'rotated')
  mkdirSync(place)
  const file = new LogFile({ path: join(place, 'audit.log'), maxSize: 1, maxBackup: 2, maxAge: 7 }, clock, silentLogger)
  const names = (): string[] => readdirSync(place).sort()
  for (let i = 0; i < 4; i++) {
    file.append('x'.repeat(900_000))
    await clock.advance(1000)
  }
  t.same(names(), ['audit-2026-01-01T00-00-02.100.log', 'audit-2026-01-01T00-00-03.100.log', 'audit.log'], 'two are kept')
  for (const name of names()) utimesSync(join(place, name), 0, 0)
  file.append('x'.repeat(900_000))
  await clock.advance(1000)
  t.same(names(), ['audit.log'], 'and none that is older than a week')
  file.close()
})

await t.test('a file that cannot step aside is written to all the same, and no other file is', async (t) => {
  const clock = new FakeClock()
  const place = join(folder, 'held')
  mkdirSync(place)
  const path = join(place, 'audit.log')
  const file = new LogFile({ path, maxSize: 1 }, clock, silentLogger)
  const write = async (): Promise<void> => {
    file.append('x'.repeat(900_000))
    await clock.advance(1000)
  }
  await write()
  // What moves files aside by itself, as logrotate does; then nothing can be made where the file was.
  renameSync(path, join(folder, 'moved.log'))
  rmSync(place, { recursive: true })
  await write()
  const bystander = openSync(join(folder, 'bystander'), 'w')
  await write()
  file.append('late')
  file.close()
  file.append('too late')
  await clock.advance(1000)
  t.equal(statSync(join(folder, 'bystander')).size, 0)
  t.equal(statSync(join(folder, 'moved.log')).size, 3 * 900_001 + 5)
  t.doesNotThrow(() => closeSync(bystander), 'it is still open')
})
