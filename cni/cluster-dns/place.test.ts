import t from 'tap'
import { atHome, decide } from './place.ts'
import type { Place, Seen } from './place.ts'

const peers = ['b', 'c']
function after(start: Place, ...seen: readonly Partial<Seen>[]): Place {
  return seen.reduce<Place>((place, one, index) => decide(place, { isListening: true, answers: true, peers, nowMs: place.sinceMs + (index + 1) * 500, ...one }), start)
}
const gone = { isListening: false, answers: undefined }
const silent = { answers: false }
const home = atHome(0)
const away = after(home, gone, gone)

t.test('one that is started again at once is waited for, one that is gone is not', (t) => {
  t.equal(after(home, gone).kind, 'here')
  t.equal(after(home, gone, {}, gone).kind, 'here')
  t.match(away, { kind: 'away', peer: 'b' })
  t.end()
})

t.test('who listens and does not answer three times in a row is taken for dead', (t) => {
  t.equal(after(home, silent, silent, {}, silent, silent).kind, 'here')
  t.match(after(home, silent, silent, silent), { kind: 'away', peer: 'b' })
  t.end()
})

t.test('without other hosts there is nowhere to go', (t) => {
  t.equal(after(home, { ...gone, peers: [] }, { ...gone, peers: [] }, { ...gone, peers: [] }).kind, 'here')
  t.equal(after(away, { ...gone, peers: [] }).kind, 'here', 'and no reason to stay away')
  t.end()
})

t.test('another host that does not answer either, or is gone, gives way to the next', (t) => {
  const down = { isListening: false, answers: false }
  t.match(after(away, down, down), { peer: 'b' })
  t.match(after(away, down, down, down), { peer: 'c' })
  t.match(after(away, down, down, down, down, down, down), { peer: 'b' })
  t.match(after(away, { ...down, peers: ['c'] }), { peer: 'c' })
  t.end()
})

t.test('home again when somebody listens there, and later each time that this was in vain', (t) => {
  t.equal(after(away, { nowMs: away.sinceMs + 1000 }).kind, 'away', 'not within two seconds')
  const back = after(away, { nowMs: away.sinceMs + 2000 })
  t.equal(back.kind, 'here')
  const again = after(back, silent, silent, silent)
  t.equal(after(again, { nowMs: again.sinceMs + 3900 }).kind, 'away')
  t.equal(after(again, { nowMs: again.sinceMs + 4000 }).kind, 'here')
  t.match(after(back, { nowMs: back.sinceMs + 60_000 }), { kind: 'here', stayMs: 2000 }, 'a minute without trouble, and all is forgotten')
  t.end()
})
