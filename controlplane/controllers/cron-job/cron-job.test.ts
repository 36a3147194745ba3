import t from 'tap'
import { cronJobs, jobs } from '../../../api/resources.ts'
import type { CronJob, Job } from '../../../api/types.ts'
import { startTestCluster, template } from '../test-support/cluster.ts'
import { planCron } from './plan.ts'
import { parseSchedule } from '../../../api/schedule.ts'

const at = (text: string): number => Date.parse(text)
const after = '2026-01-01T10:07:30Z'
const times: readonly { readonly schedule: string; readonly zone?: string; readonly after?: string; readonly next: string | undefined }[] = [
  { schedule: '* * * * *', next: '2026-01-01T10:08:00Z' },
  { schedule: '*/15 * * * *', next: '2026-01-01T10:15:00Z' },
  { schedule: '5/20 * * * *', next: '2026-01-01T10:25:00Z' },
  { schedule: '0 9-17/4 * * *', next: '2026-01-01T13:00:00Z' },
  { schedule: '30 4 1,15 * *', next: '2026-01-15T04:30:00Z' },
  { schedule: '0 0 * * mon-fri', next: '2026-01-02T00:00:00Z' },
  { schedule: '0 0 13 * fri', next: '2026-01-02T00:00:00Z' },
  { schedule: '0 0 * * 7', next: '2026-01-04T00:00:00Z' },
  { schedule: '0 0 29 feb *', next: '2028-02-29T00:00:00Z' },
  { schedule: '0 0 30 2 *', next: undefined },
  { schedule: '@hourly', next: '2026-01-01T11:00:00Z' },
  { schedule: '@yearly', next: '2027-01-01T00:00:00Z' },
  { schedule: '@every 1h30m', next: '2026-01-01T11:37:30Z' },
  { schedule: '0 8 * * *', zone: 'Asia/Tokyo', next: '2026-01-01T23:00:00Z' },
  { schedule: '30 2 * * *', zone: 'Europe/Berlin', after: '2026-03-28T12:00:00Z', next: '2026-03-30T00:30:00Z' },
  { schedule: '0 12 * * *', zone: 'Asia/Kolkata', next: '2026-01-02T06:30:00Z' },
]
for (const { schedule, zone, after: from = after, next } of times) {
  t.test(`${schedule} ${zone ?? 'UTC'} after ${from}`, async (t) => {
    const found = parseSchedule(schedule, zone).next(at(from))
    t.equal(found === undefined ? undefined : new Date(found).toISOString().replace('.000', ''), next)
  })
}

t.test('what is no schedule is refused with a reason', async (t) => {
  for (const text of ['', '* * * *', '60 * * * *', '* * 0 * *', '5-1 * * * *', '*/0 * * * *', 'a * * * *', '1-2-3 * * * *', '@every 0s', '@never']) t.throws(() => parseSchedule(text), /Cannot read schedule/, text)
  t.throws(() => parseSchedule('* * * * *', 'Nowhere/Land'))
})

function cron(spec: Partial<CronJob['spec']> = {}, lastScheduleTime?: string): CronJob {
  return {
    metadata: { namespace: 'default', name: 'tick', creationTimestamp: '2026-01-01T10:00:00Z' }, ...(lastScheduleTime === undefined ? {} : { status: { lastScheduleTime } }),
    spec: { schedule: '*/5 * * * *', jobTemplate: { spec: { template: template({}) } }, ...spec },
  }
}
const running: Job = { metadata: { name: 'running', uid: 'r' }, spec: { template: template({}) } }
const plan = (cron: CronJob, now: string, jobs: Job[] = []): ReturnType<typeof planCron> => planCron({ cron, jobs, now: at(now), schedule: parseSchedule(cron.spec.schedule) })

t.test('only the last of several missed times is made up for, and not when its deadline is over', async (t) => {
  t.equal(plan(cron(), '2026-01-01T10:04:00Z').create, undefined)
  t.equal(plan(cron(), '2026-01-01T10:17:00Z').create?.scheduledMs, at('2026-01-01T10:15:00Z'))
  t.equal(plan(cron({}, '2026-01-01T10:15:00Z'), '2026-01-01T10:17:00Z').create, undefined)
  t.equal(plan(cron({}, '2025-01-01T10:15:00Z'), '2026-01-01T10:17:00Z').create?.scheduledMs, at('2026-01-01T10:15:00Z'))
  t.equal(plan(cron({ startingDeadlineSeconds: 60 }), '2026-01-01T10:17:00Z').create, undefined)
  t.equal(plan(cron({ suspend: true }), '2026-01-01T10:17:00Z').create, undefined)
  t.equal(plan(cron(), '2026-01-01T10:17:00Z').againAfterMs, 180_000)
})

t.test('while one runs, another is started, not started, or takes its place', async (t) => {
  t.ok(plan(cron({ concurrencyPolicy: 'Allow' }), '2026-01-01T10:05:00Z', [running]).create)
  t.match(plan(cron({ concurrencyPolicy: 'Forbid' }), '2026-01-01T10:05:00Z', [running]), { create: undefined, skipped: { reason: 'JobAlreadyActive' } })
  t.match(plan(cron({ concurrencyPolicy: 'Replace' }), '2026-01-01T10:05:00Z', [running]), { create: { name: /^tick-\d+$/ }, delete: [{ metadata: { name: 'running' } }] })
})

t.test('a cron job starts its jobs on time, and forgets the oldest', async (t) => {
  const cluster = await startTestCluster()
  t.teardown(() => cluster.stop())
  const { client, kubelet } = cluster
  kubelet.ends = () => 'Succeeded'
  await kubelet.addNode('node-1')
  await client.create(cronJobs, { apiVersion: 'batch/v1', kind: 'CronJob', metadata: { namespace: 'default', name: 'tick' }, spec: { schedule: '* * * * *', successfulJobsHistoryLimit: 2, jobTemplate: { spec: { template: template({}, 'busybox:1', { restartPolicy: 'Never' }) } } } })
  await cluster.settle(30_000)
  t.equal((await client.list(jobs)).items.length, 0)
  for (let minute = 0; minute < 4; minute += 1) await cluster.settle(60_000)
  await cluster.settle(1000)
  const { items } = await client.list(jobs)
  t.same(items.map(({ metadata }) => metadata.annotations?.['batch.kubernetes.io/cronjob-scheduled-timestamp'] ?? '').sort(), ['2026-01-01T00:03:00Z', '2026-01-01T00:04:00Z'])
  t.match((await client.get(cronJobs, { namespace: 'default', name: 'tick' })).status, { lastScheduleTime: '2026-01-01T00:04:00Z', lastSuccessfulTime: /2026-01-01T00:04/ })
})
