import t from 'tap'
import { FakeClock } from '../../api/clock.ts'
import { createLogger } from '../../api/log.ts'
import { Reachability, reachTargets } from './reach.ts'
import type { Reach, Target } from './reach.ts'
import { vxlanLinkName } from './want.ts'

function target(n: number, tunnelled = true): Target {
  return { node: `node-${n}`, podCIDR: `10.244.${n}.0/24`, address: `10.244.${n}.0`, tunnelled }
}

interface Stage {
  readonly reachability: Reachability
  readonly log: string[]
  readonly offload: boolean[]
  readonly asked: string[]
  trouble: number
  /** Lets a round pass. */
  round(): Promise<void>
}

function stage(answer: (address: string, offloaded: boolean) => Reach): Stage {
  const clock = new FakeClock()
  const made: Stage = {
    log: [], offload: [], asked: [], trouble: 0,
    reachability: new Reachability({
      clock, netns: undefined,
      log: createLogger({ level: 'info', write: (line) => made.log.push(line) }),
      onChecksumTrouble: () => (made.trouble += 1),
      ask: async (address) => {
        made.asked.push(address)
        await Promise.resolve()
        return answer(address, made.offload.at(-1) ?? true)
      },
      setOffload: (offloaded) => made.offload.push(offloaded),
    }),
    round: async () => {
      await clock.advance(10_000)
      for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve))
    },
  }
  return made
}

t.test('a peer is asked by the way that its pods take', (t) => {
  const peers = [{ name: 'near', addresses: { ipv4: '10.90.0.2' }, podCIDRs: ['10.244.2.0/24', 'fd00:10:244:2::/64'] }, { name: 'lost', addresses: {}, podCIDRs: ['10.244.9.0/24'] }]
  const routes = [
    { destination: '10.244.1.0/24', type: 'unreachable' }, { destination: '10.244.2.0/24', gateway: '10.90.0.2', link: 2, type: 'unicast' },
    { destination: 'fd00:10:244:2::/64', gateway: 'fe80::1', link: vxlanLinkName, type: 'unicast' },
  ] as const
  t.strictSame(reachTargets({ routes }, peers), [
    { node: 'near', podCIDR: '10.244.2.0/24', address: '10.90.0.2', tunnelled: false },
    { node: 'near', podCIDR: 'fd00:10:244:2::/64', address: 'fd00:10:244:2::', tunnelled: true },
  ])
  t.end()
})

t.test('silence is told when it lasts, and its end at once', async (t) => {
  let silent = true
  const { reachability, round, log } = stage(() => (silent ? 'silent' : 'reachable'))
  reachability.follow([target(2)])
  await round()
  t.equal(reachability.states.get('10.244.2.0/24'), 'silent')
  t.strictSame(log, [], 'a host that joins is known before it answers')
  await round()
  await round()
  t.equal(log.length, 1)
  t.match(log[0], /peer does not answer.*node-2/)
  silent = false
  await round()
  t.match(log[1], /peer answers again/)
  reachability.follow([])
  t.equal(reachability.states.size, 0)
  await reachability.stop()
})

t.test('where only echoes arrive checksums are computed, if that helps', async (t) => {
  const play = stage((_, offloaded) => (offloaded ? 'datagrams lost' : 'reachable'))
  play.reachability.follow([target(2)])
  await play.round()
  await play.round()
  t.strictSame(play.offload, [], 'not for loss')
  await play.round()
  t.strictSame(play.offload, [false])
  t.equal(play.trouble, 1)
  t.match(play.log.at(-1), /corrupts checksums/)
  await play.round()
  t.strictSame([play.offload, play.trouble], [[false], 1], 'once')
  t.equal(play.reachability.states.get('10.244.2.0/24'), 'reachable')
  await play.reachability.stop()
})

t.test('a firewall is no reason to compute checksums', async (t) => {
  const play = stage(() => 'datagrams lost')
  play.reachability.follow([target(2)])
  for (let round = 0; round < 10; round += 1) await play.round()
  t.strictSame(play.offload, [false, true], 'tried once, and taken back')
  t.equal(play.trouble, 0)
  for (let round = 0; round < 60; round += 1) await play.round()
  t.strictSame(play.offload, [false, true, false, true], 'and again after a while')
  await play.reachability.stop()
  const asked = play.asked.length
  await play.round()
  t.equal(play.asked.length, asked, 'nobody is asked once it is stopped')
})

t.test('what does not go through the tunnel is not its matter', async (t) => {
  const play = stage(() => 'datagrams lost')
  play.reachability.follow([target(2, false)])
  for (let round = 0; round < 5; round += 1) await play.round()
  t.strictSame(play.offload, [])
  await play.reachability.stop()
})
