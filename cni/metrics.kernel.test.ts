import t from 'tap'
import { silentLogger } from '../api/log.ts'
import { startCniService } from './executable/service.ts'
import { CniMetrics } from './metrics.ts'
import { TestHost } from './test-support/host.ts'

if (process.getuid?.() !== 0) {
  t.plan(0, 'metrics of the resident part: needs root')
  process.exit()
}

t.test('what executables ask of the resident part is counted', async (t) => {
  using host = new TestHost()
  const metrics = new CniMetrics()
  const service = await startCniService({ socketPath: host.socketPath, log: silentLogger, metrics })
  t.match(await host.cni({ command: 'VERSION', config: { cniVersion: '1.1.0' } }), { status: 0 })
  t.match(await host.cni({ command: 'ADD', containerId: '../x', netns: '/nowhere', ifname: 'eth0', config: host.config() }), { status: 1, object: { code: 4 } })
  t.match(metrics.text([]), 'fairway_cni_operations_total{plugin="fairway",command="VERSION",code="0"} 1\n')
  t.match(metrics.text([]), 'fairway_cni_operations_total{plugin="fairway",command="ADD",code="4"} 1\n')
  await service.stop()
})
