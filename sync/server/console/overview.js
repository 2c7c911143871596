/** The service at a glance: figures of now, and five minutes of charts. */

import { Chart } from './chart.js'
import { h, patch } from './dom.js'
import { bytes, count, duration, figure, integer, milliseconds, percent, rate } from './format.js'
import { badge, empty, facts, link, loading, section, tile, time } from './parts.js'
import { service } from './service.js'

const CHARTS = [
  { title: 'Edits a second', lines: [{ name: 'edits', of: (each) => each.edits }], format: rate },
  {
    title: 'Events a second', format: rate,
    lines: [{ name: 'published', of: (each) => each.events }, { name: 'delivered', of: (each) => each.delivered }],
  },
  {
    title: 'Time until an edit is on disk', format: milliseconds, note: 'of the last minute',
    lines: [{ name: 'p50', of: (each) => each.p50 }, { name: 'p99', of: (each) => each.p99 }],
  },
  {
    title: 'Connections', format: figure, atLeast: 4,
    lines: [
      { name: 'documents', of: (each) => each.documents },
      { name: 'events', of: (each) => each.channels },
      { name: 'rooms', of: (each) => each.rooms },
    ],
  },
  { title: 'Memory', lines: [{ name: 'resident', of: (each) => each.memory }], format: bytes, base: 2, atLeast: 2 ** 20 },
  {
    title: 'Waiting bytes', format: bytes, base: 2, atLeast: 1_024,
    lines: [{ name: 'unsaved', of: (each) => each.unsaved }, { name: 'slow clients', of: (each) => each.queued }],
  },
]

/** What each close code means, in a few words. */
export const CODES = {
  0: 'the client went',
  1000: 'normal',
  1001: 'the service goes away',
  1011: 'a failure of the service',
  1012: 'the service restarts',
  1013: 'overloaded: come back later',
  4400: 'bad message or name',
  4401: 'token missing, bad or expired',
  4403: 'no right',
  4404: 'no such thing, or deleted',
  4408: 'too slow',
  4409: 'the session is over',
  4413: 'too large',
  4429: 'too many',
}

export const codes = (counts) => {
  const found = Object.entries(counts).filter(([, number]) => number > 0)
  if (!found.length) return empty('None since the start.')
  return h('table', { class: 'small-table' },
    h('thead', { class: 'hidden' }, h('tr', {}, ['Code', 'Meaning', 'How many'].map((head) => h('th', { scope: 'col' }, head)))),
    h('tbody', {}, found.map(([code, number]) =>
      h('tr', { key: code }, h('th', { scope: 'row' }, code === '0' ? '–' : code), h('td', {}, CODES[code] ?? ''), h('td', { class: 'number' }, integer(number))))))
}

export function overview({ signal }) {
  const charts = CHARTS.map((each) => new Chart(each))
  const figures = h('div', {}, loading('the figures'))
  const about = h('div', { class: 'columns' })
  const node = h('div', {},
    h('h1', {}, 'Overview'),
    figures,
    h('div', { class: 'charts', role: 'group', 'aria-label': 'The last five minutes' }, charts.map((each) => each.node)),
    about)
  const draw = () => {
    const { now, samples } = service
    charts.forEach((chart) => chart.draw(samples.all, Date.now()))
    if (!now) return
    patch(figures, failing(now), tiles(now))
    patch(about, closes(now), more(now))
  }
  service.addEventListener('news', draw, { signal })
  draw()
  return { title: 'Overview', node }
}

function failing({ failing: { edits, events }, state }) {
  const why = [edits && `Edits are not saved: ${edits}.`, events && `Events are not saved: ${events}.`].filter(Boolean)
  if (!why.length && state !== 'draining') return null
  if (!why.length) why.push('The service is stopping: it takes no new connections, and saves what it has.')
  else why.push('Nothing is acknowledged meanwhile, and nothing is lost: it goes on when the disk does.')
  return h('div', { class: 'card problem', role: 'alert', key: 'failing' }, why.map((each) => h('p', {}, each)))
}

function tiles(now) {
  const { connections, edits, events, delivery, loop_lag_ms: lag } = now
  const open = connections.documents + connections.events + connections.streams
  const closes = total(now.closed.documents) + total(now.closed.events)
  const refused = total(now.refused.documents) + total(now.refused.events) + total(now.refused.tokens)
  return h('dl', { class: 'tiles', key: 'tiles' },
    tile('Connections', integer(open), { note: `${integer(connections.documents)} to documents, ${integer(connections.events + connections.streams)} to events` }),
    tile('Rooms', integer(now.rooms), { note: 'documents in memory' }),
    tile('Edits', rate(edits.per_second['10s']), { note: `${integer(edits.committed)} since the start` }),
    tile('Events', rate(events.per_second['10s']), { note: `${integer(events.committed)} since the start` }),
    tile('On disk after, p50', milliseconds(edits.commit_ms.p50), { note: `p99 ${milliseconds(edits.commit_ms.p99)}` }),
    tile('Unsaved', bytes(edits.unsaved_bytes), { note: edits.retries ? `${count(edits.retries, 'commit')} tried again` : 'on the way to disk', trouble: now.failing.edits !== null }),
    tile('Memory', bytes(now.memory_bytes), { note: `loop late p99 ${milliseconds(lag.p99)}` }),
    tile('Delivered', percent(delivery.success), { note: `${integer(delivery.undelivered)} events were not`, trouble: delivery.success < 0.99 }),
    tile('Ended', integer(closes), { note: 'connections' }),
    tile('Refused', integer(refused), { note: 'connections, tokens' }))
}

const total = (counts) => Object.values(counts).reduce((sum, each) => sum + each, 0)

function closes({ closed, refused }) {
  return section('Ends and refusals',
    h('h3', {}, 'Documents, by close code'), codes(closed.documents),
    h('h3', {}, 'Events, by close code'), codes(closed.events),
    h('h3', {}, 'Refused though the token is good'), codes(merged(refused.documents, refused.events)))
}

/** The sums of some counts by code. */
export function merged(...all) {
  const sum = {}
  for (const counts of all) for (const [code, number] of Object.entries(counts)) sum[code] = (sum[code] ?? 0) + number
  return sum
}

function more(now) {
  const { sessions, delivery, webhooks } = now
  const dead = webhooks.reduce((sum, each) => sum + each.dead, 0)
  return section('The service',
    facts(
      ['Running since', time(now.started_at)],
      ['For', duration(now.uptime_seconds)],
      ['Sessions', h('span', {}, link('sessions?state=running', `${integer(sessions.running)} running`), `, ${integer(sessions.paused)} paused, ${integer(sessions.created)} created, ${integer(sessions.stopped)} stopped`)],
      ['Members', `${integer(now.members)} of sessions that are not stopped`],
      ['Events reach subscribers', `p50 ${milliseconds(delivery.latency_ms.p50)}, p99 ${milliseconds(delivery.latency_ms.p99)}`],
      ['Round trips', `p50 ${milliseconds(delivery.round_trip_ms.p50)}, p99 ${milliseconds(delivery.round_trip_ms.p99)}`],
      ['Event loop late', `p99 ${milliseconds(now.loop_lag_ms.p99)}, at most ${milliseconds(now.loop_lag_ms.max)}`],
      ['Webhooks', webhooks.length ? h('span', {}, count(webhooks.length, 'webhook'), ' ', dead ? badge('bad', count(dead, 'dead letter')) : badge('good', 'none dead')) : 'none'],
    ))
}
