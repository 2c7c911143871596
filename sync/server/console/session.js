/** One session: who is there, how far they are, what happens in it, and its steps. */

import { Away, Refused, path, read, stream } from './api.js'
import { h, patch } from './dom.js'
import { capital, count, duration, integer, milliseconds } from './format.js'
import { badge, confirm, documentLink, empty, facts, failure, link, loading, meter, say, section, sessionLink, stateBadge, time } from './parts.js'
import { every, pause } from './poll.js'

const KEPT_EVENTS = 200
const TAIL = 50
const FEW = 8 // evaluators of a test case, all of whom are shown at once

const STEPS = {
  start: { action: 'Start', about: 'Evaluators may begin to write in its drafts.' },
  pause: { action: 'Pause', about: 'Its members are told that it pauses. It can be resumed.' },
  resume: { action: 'Resume', about: 'Its members are told that it goes on.' },
  stop: {
    action: 'Stop', danger: true,
    about: 'Everything pending is committed, its drafts become read-only, and whoever writes in them is closed. This is final: a stopped session does not run again.',
  },
}

export function session({ parts: [id], signal }) {
  const place = path('sessions', id)
  const head = h('header', { class: 'page-head' }, h('h1', {}, id))
  const body = h('div', {}, loading('the session'))
  const events = new Events(place)
  let about = null // as GET /sessions/{id} tells it; read again when its state moves
  const work = async () => {
    try {
      const now = await read(`${place}/status`, { signal })
      if (about?.state !== now.state || about?.members.length !== now.members.length) about = await read(place, { signal })
      patch(head, ...headOf(about, act))
      patch(body, facts(...factsOf(about, now)), people(now), progress(now), others(now), events.node)
    } catch (error) {
      if (signal.aborted) return
      if (error instanceof Away) throw error
      patch(body, failure(error))
    }
  }
  const act = (step) =>
    confirm({
      title: `${STEPS[step].action} the session ${id}?`,
      about: [STEPS[step].about],
      action: STEPS[step].action,
      danger: STEPS[step].danger,
      work: () => read(`${place}/${step}`, { method: 'POST' }),
    }).then((done) => {
      if (!done) return
      say(`Done: ${STEPS[step].action.toLowerCase()} ${id}.`)
      work().catch(() => {})
    })
  every(2, work, signal)
  events.follow(signal)
  return { title: `Session ${id}`, node: h('div', {}, h('p', { class: 'crumbs' }, link('sessions', 'Sessions'), ' / '), head, body) }
}

function headOf(about, act) {
  const open = about.open_steps.filter((step) => step in STEPS)
  return [
    h('h1', {}, about.title, ' ', stateBadge(about.state)),
    h('div', { class: 'buttons', key: 'buttons' }, open.map((step) =>
      h('button', { type: 'button', key: step, class: STEPS[step].danger ? 'danger' : null, on: { click: () => act(step) } }, `${STEPS[step].action} …`))),
  ]
}

const factsOf = (about, now) => [
  ['Session', h('span', { class: 'name' }, about.id)],
  ['Project', about.project],
  ['Form', about.form?.title ?? 'none'],
  ['Created', h('span', {}, time(about.created_at), ` by ${about.created_by}`)],
  ['Started', time(about.started_at)],
  ['Stopped', time(about.stopped_at)],
  ['Ran for', duration(now.active_seconds)],
  ['Connections', integer(now.connections)],
  ['Events', integer(now.top)],
  ['Delivery of events', now.delivery ? `${integer(now.delivery.delivered)} sent, p99 ${milliseconds(now.delivery.latency_ms.p99)}` : 'nobody subscribes'],
]

function people({ members }) {
  const online = members.filter((each) => each.online).length
  return section('People',
    h('p', { class: 'quiet' }, `${integer(online)} of ${integer(members.length)} are connected.`),
    members.length ? h('div', { class: 'scroll', tabindex: 0, role: 'group', 'aria-label': 'People' }, h('table', {},
      h('thead', {}, h('tr', {}, ['Person', 'Role', 'Connected', 'Has open', 'Unsaved', 'Latency', 'Last edit saved'].map((each, index) =>
        h('th', { scope: 'col', class: index === 4 || index === 5 ? 'number' : null }, each)))),
      h('tbody', {}, members.map(person)))) : empty('Nobody is in the session.'))
}

function person(each) {
  const documents = [...new Set(each.connections.map(({ document }) => document).filter(Boolean))]
  const unsaved = each.connections.reduce((sum, connection) => sum + connection.unsaved, 0)
  const latencies = each.connections.map(({ latency_ms: latency }) => latency).filter((latency) => latency !== null)
  return h('tr', { key: each.subject },
    h('th', { scope: 'row' }, each.name, each.name !== each.subject && h('span', { class: 'quiet name' }, ` ${each.subject}`)),
    h('td', {}, each.role ? capital(each.role) : h('span', { class: 'quiet' }, 'no member')),
    h('td', {}, each.online ? badge('good', 'Online') : badge('quiet', 'Offline')),
    h('td', {}, documents.length ? documents.map((name) => h('div', {}, documentLink(name))) : h('span', { class: 'quiet' }, '–')),
    h('td', { class: 'number' }, integer(unsaved)),
    h('td', { class: 'number' }, latencies.length ? milliseconds(Math.max(...latencies)) : '–'),
    h('td', {}, time(each.last_committed?.at)))
}

function progress({ test_cases: cases }) {
  return section('Progress', cases.length ? cases.map((each) =>
    h('div', { class: 'case', key: each.id },
      h('h3', {}, each.title, each.title !== each.id && h('span', { class: 'quiet name' }, ` ${each.id}`)),
      h('p', { class: 'quiet' }, count(each.edits, 'edit'), each.last_edit && [', the last by ', each.last_edit.by, ' ', time(each.last_edit.at)],
        each.open.length ? `; open by ${each.open.join(', ')}` : ''),
      h('ul', { class: 'plain' }, each.documents.map((draft) => h('li', {}, documentLink(draft.document), draft.note && h('p', { class: 'problem' }, draft.note)))),
      each.evaluators.length ? evaluators(each.evaluators) : empty('No evaluator yet.'))) : empty('The session has no test cases.'))
}

/** Each with how far they are; of many, how many have come how far, and who on request. */
function evaluators(all) {
  const list = h('ul', { class: 'evaluators' }, all.map((who) =>
    h('li', { key: who.subject }, h('span', {}, who.subject), meter(who.progress, who.subject), who.completed ? badge('good', 'Complete') : null)))
  if (all.length <= FEW) return list
  const complete = all.filter((who) => who.completed).length
  const answered = all.filter((who) => who.progress?.share === 1).length
  return h('details', {},
    h('summary', {}, `${integer(complete)} of ${count(all.length, 'evaluator')} complete, ${integer(answered)} have answered all that is required`), list)
}

function others({ other_documents: documents }) {
  if (!documents.length) return null
  return section('Other documents under its name',
    h('ul', { class: 'plain' }, documents.map((each) => h('li', {}, documentLink(each.document), ` ${count(each.edits, 'edit')}`, each.note && h('p', { class: 'problem' }, each.note)))))
}

// -- its events

/** The end of a session's log, as it grows. */
class Events {
  constructor(place) {
    this.place = place
    this.all = [] // the newest first
    this.trouble = null
    this.log = h('div', { class: 'log', role: 'log', 'aria-label': 'Events', tabindex: 0 }, loading('events'))
    this.node = section('Events', this.log)
    this.from = null // {epoch, offset}
  }

  async follow(signal) {
    await every(1, (each) => this.listen(each), signal)
  }

  async listen(signal) {
    try {
      if (this.from === null) {
        const { top } = await read(this.place, { signal })
        this.from = Math.max(0, top - TAIL)
      }
      await stream(`${this.place}/events?after=${this.from}`, (name, message) => this.take(name, message), signal)
    } catch (error) {
      if (signal.aborted || error instanceof Away) throw error
      if (!(error instanceof Refused)) throw error
      patch(this.log, failure(error))
      await pause(10_000, signal)
    }
  }

  take(name, message) {
    if (name === 'subscribed' && !message.recovered) this.all = []
    if (name === 'message' && message.offset > (this.all[0]?.offset ?? 0)) {
      this.all.unshift(message)
      this.all.length = Math.min(this.all.length, KEPT_EVENTS)
    }
    this.from = this.all[0]?.offset ?? this.from
    patch(this.log, this.all.length ? this.all.map((each) => eventLine(each)) : empty('Nothing has happened yet.'))
  }
}

/** One event; with the session that it is of, where the line does not stand below it. */
export function eventLine({ offset, kind, actor, time: at, data }, of) {
  const words = Object.entries(data ?? {}).map(([key, value]) => `${key}: ${typeof value === 'object' ? JSON.stringify(value) : value}`).join(' · ')
  return h('div', { class: 'entry', key: `${of ?? ''}-${offset}` },
    time(at), ' ', h('strong', {}, kind), ' by ', h('span', { class: 'name' }, actor), of && [' in ', sessionLink(of)],
    h('span', { class: 'quiet figures' }, ` #${offset}`),
    words && h('div', { class: 'quiet clip', title: words.slice(0, 500) }, words.slice(0, 300)))
}
