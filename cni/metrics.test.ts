import t from 'tap'
import { CniMetrics } from './metrics.ts'

t.test('calls are counted by what came of them, and their time by bucket', (t) => {
  const metrics = new CniMetrics()
  metrics.countCall({ plugin: 'fairway', command: 'ADD', code: 0, seconds: 0.004 })
  metrics.countCall({ plugin: 'fairway', command: 'ADD', code: 0, seconds: 7 })
  metrics.countCall({ plugin: 'fairway', command: 'ADD', code: 11, seconds: 0.001 })
  metrics.countCall({ plugin: '../x', command: 'FLY"\n', code: 4, seconds: 0 })
  const text = metrics.text([])
  for (const line of [
    'fairway_cni_operations_total{plugin="fairway",command="ADD",code="0"} 2',
    'fairway_cni_operations_total{plugin="fairway",command="ADD",code="11"} 1',
    'fairway_cni_operations_total{plugin="other",command="other",code="4"} 1',
    'fairway_cni_operation_duration_seconds_bucket{plugin="fairway",command="ADD",le="0.001"} 1',
    'fairway_cni_operation_duration_seconds_bucket{plugin="fairway",command="ADD",le="0.005"} 2',
    'fairway_cni_operation_duration_seconds_bucket{plugin="fairway",command="ADD",le="5"} 2',
    'fairway_cni_operation_duration_seconds_bucket{plugin="fairway",command="ADD",le="+Inf"} 3',
    'fairway_cni_operation_duration_seconds_count{plugin="fairway",command="ADD"} 3',
  ]) t.ok(text.split('\n').includes(line), line)
  t.notMatch(text, 'fairway_overlay_peers', 'nothing is said of an overlay that is not there')
  t.end()
})

t.test('the overlay and the ranges as they are', (t) => {
  const metrics = new CniMetrics()
  metrics.countSync(0)
  metrics.countSync(2)
  metrics.countRepair('setRoute')
  metrics.overlay = {
    backend: 'vxlan', mtu: 1450, peers: 3, computesChecksums: true, inPlace: false,
    reach: new Map([['10.244.1.0/24', 'reachable'], ['10.244.2.0/24', 'silent'], ['10.244.3.0/24', 'reachable']]),
  }
  const lines = metrics.text([{ network: 'a"b\\', subnet: '10.244.0.0/24', used: 3, free: 250n }]).split('\n')
  for (const line of [
    'fairway_overlay_syncs_total 2', 'fairway_overlay_failures_total 2', 'fairway_overlay_repairs_total{operation="setRoute"} 1',
    'fairway_overlay_info{backend="vxlan"} 1', 'fairway_overlay_mtu_bytes 1450', 'fairway_overlay_peers 3', 'fairway_overlay_in_place 0', 'fairway_overlay_computes_checksums 1',
    'fairway_overlay_ranges{state="reachable"} 2', 'fairway_overlay_ranges{state="silent"} 1', 'fairway_overlay_ranges{state="datagrams lost"} 0',
    'fairway_cni_addresses{network="a\\"b\\\\",range="10.244.0.0/24",state="free"} 250',
  ]) t.ok(lines.includes(line), line)
  for (const line of lines) t.match(line, /^(# (HELP|TYPE) \w+ .+|\w+(\{.*\})? [\d.]+|)$/)
  t.end()
})
