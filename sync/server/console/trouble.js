/** What is slow or fails, and what an administrator can do about it. */

import { Away, query as queryOf, read } from './api.js'
import { h, patch } from './dom.js'
import { bytes, count, duration, integer, milliseconds } from './format.js'
import { codes, merged } from './overview.js'
import { Table, badge, confirm, documentLink, empty, facts, failure, loading, say, section, sessionLink, time } from './parts.js'
import { every } from './poll.js'
import { service } from './service.js'

const MOST = 500
const SLOW_MS = 1_000
const LATE_MS = 100

const CONNECTIONS = [
  { head: 'Person', of: (each) => each.name, cell: (each) => h('span', {}, each.name, each.name !== each.subject && h('span', { class: 'quiet name' }, ` ${each.subject}`)), rowHead: true },
  { head: 'Kind', of: (each) => each.kind },
  { head: 'Where', of: (each) => each.document ?? each.session, cell: (each) => (each.document ? documentLink(each.document) : each.session ? sessionLink(each.session) : '–'), class: 'wide' },
  { head: 'Latency', of: (each) => each.round_trip_ms, cell: (each) => milliseconds(each.round_trip_ms), number: true },
  { head: 'Queued', of: (each) => each.queued_bytes, cell: (each) => bytes(each.queued_bytes), number: true },
  { head: 'Behind', of: (each) => each.behind, cell: (each) => integer(each.behind), number: true },
  { head: 'Unsaved', of: (each) => each.unsaved, cell: (each) => integer(each.unsaved), number: true },
  { head: 'Caught up', of: (each) => each.retries, cell: (each) => integer(each.retries), number: true },
  { head: 'In', of: (each) => each.messages_in, cell: (each) => integer(each.messages_in), number: true },
  { head: 'Out', of: (each) => each.messages_out, cell: (each) => integer(each.messages_out), number: true },
  { head: 'Since', of: (each) => each.since, cell: (each) => time(each.since) },
]
const LETTERS = [
  { head: 'Webhook', of: (each) => each.consumer, rowHead: true, class: 'wide' },
  { head: 'Session', of: (each) => each.session, cell: (each) => sessionLink(each.session) },
  { head: 'Event', of: (each) => each.offset, cell: (each) => `#${integer(each.offset)}`, number: true },
  { head: 'Since', of: (each) => each.time, cell: (each) => time(each.time) },
  { head: 'Why', of: (each) => each.reason, class: 'wide' },
]
const REVOKED = [
  { head: 'What', of: (each) => (each.sub === null ? 'the token' : 'all tokens of') },
  { head: 'Whose', of: (each) => each.sub ?? each.jti, cell: (each) => h('span', { class: 'name' }, each.sub ?? each.jti), rowHead: true },
  { head: 'By', of: (each) => each.by },
  { head: 'At', of: (each) => each.at, cell: (each) => time(each.at) },
]

export function trouble({ signal }) {
  const now = h('div', {}, loading('the state of the service'))
  const connections = new Table({ caption: 'Connections', columns: CONNECTIONS, key: (each) => `${each.kind}-${each.id}`, none: 'Nobody is connected.', sorted: 'Latency', descending: true })
  const letters = new Table({ caption: 'Dead letters', columns: LETTERS, key: (each) => `${each.consumer} ${each.session} ${each.offset}`, none: 'Webhooks have taken everything.' })
  const revoked = new Table({ caption: 'Revoked', columns: REVOKED, key: (each) => `${each.sub} ${each.jti}`, none: 'Nothing is revoked.' })
  const behind = h('div', {}, loading('connections'))
  const all = h('div', {}, loading('connections'))
  const dead = h('div', {}, loading('dead letters'))
  const revocations = h('div', {}, loading('revocations'))
  const tell = () => service.now && patch(now, parts(service.now))
  service.addEventListener('news', tell, { signal })
  tell()
  keep(2, all, signal, async () => {
    const told = await read(`/connections${queryOf({ limit: MOST })}`, { signal })
    patch(behind, slow(told.connections))
    patch(all, connections.show(told.connections), told.next && h('p', { class: 'quiet' }, `The first ${integer(MOST)} are here.`))
  })
  keep(5, dead, signal, async () => {
    const told = await read('/webhooks/dead', { signal })
    patch(dead, letters.show(told.dead_letters), told.more && h('p', { class: 'quiet' }, 'There are older ones: draftsync webhooks dead lists all.'))
  })
  const readRevocations = async () => {
    const told = await read('/revocations', { signal })
    patch(revocations, revoked.show(told.revocations))
  }
  keep(5, revocations, signal, readRevocations)
  return {
    title: 'Trouble',
    node: h('div', {}, h('h1', {}, 'Trouble'), now,
      section('Clients that read too slowly', behind),
      section('Dead letters of webhooks', dead),
      section('Revoked tokens', revokeForm(() => readRevocations().catch(() => {})), revocations),
      section('Connections', all),
      section('Damage on disk', h('p', {}, 'A document that has damaged entries says so on its page, and everything else of it is served. To check every entry of the database, run ', h('code', {}, 'draftsync doctor'), '.'))),
  }
}

/** Ask again and again; what is refused is said in the place of the answer. */
function keep(seconds, node, signal, work) {
  every(seconds, async () => {
    try {
      await work()
    } catch (error) {
      if (signal.aborted || error instanceof Away) throw error
      patch(node, failure(error))
    }
  }, signal)
}

function parts(now) {
  const { failing, edits, events, loop_lag_ms: lag, webhooks, refused } = now
  const word = (why) => (why ? h('span', {}, badge('bad', 'failing'), ` ${why}`) : badge('good', 'saving'))
  return [
    h('div', { class: 'columns', key: 'columns' },
      section('Parts',
        facts(
          ['Edits', word(failing.edits)],
          ['Events', word(failing.events)],
          ['Commits tried again', `${integer(edits.retries)} of edits, ${integer(events.retries)} of events`],
          ['Waiting for the disk', `${bytes(edits.unsaved_bytes)} of edits, ${count(events.queue_depth, 'event')}`],
          ['Event loop', h('span', {}, lag.max > LATE_MS ? badge('warn', 'late') : badge('good', 'in time'), ` at most ${milliseconds(lag.max)} in the last minute`)],
          ['History is kept', kept(now.retention.history_seconds)],
          ['Events are kept', kept(now.retention.events_seconds)],
          ['Resumes that came too late', integer(now.delivery.unrecovered)],
        )),
      section('Refused',
        h('h3', {}, 'Tokens and tickets'), tokens(refused.tokens),
        h('h3', {}, 'Connections, by close code'), codes(merged(refused.documents, refused.events))),
      section('Webhooks', webhooks.length ? h('ul', { class: 'plain' }, webhooks.map((each) => h('li', { key: each.name }, webhook(each)))) : empty('There are none.'))),
  ]
}

const kept = (seconds) => (seconds === null ? 'for ever' : `for ${duration(seconds)}`)

const tokens = (counts) => {
  const found = Object.entries(counts).filter(([, number]) => number > 0)
  return found.length
    ? facts(...found.map(([reason, number]) => [reason, integer(number)]))
    : empty('None since the start.')
}

const webhook = (each) => [
  h('div', { class: 'name' }, each.name),
  h('div', {}, each.gone ? badge('bad', 'gone') : each.failing ? badge('bad', 'failing') : badge('good', 'taking'), ' ',
    h('span', { class: 'quiet' }, `${integer(each.delivered)} delivered, ${integer(each.failed)} failed, ${count(each.dead, 'dead letter')}, ${count(each.waiting, 'session')} waiting`, each.oldest_lag_seconds ? ` for ${duration(each.oldest_lag_seconds)}` : '')),
  each.failing && h('div', { class: 'problem' }, each.failing),
]

function slow(connections) {
  const found = connections.filter((each) => each.queued_bytes > 0 || each.behind > 0 || each.round_trip_ms > SLOW_MS)
  if (!found.length) return empty('None: everybody keeps up.')
  return h('ul', { class: 'plain' }, found.map((each) =>
    h('li', { key: `${each.kind}-${each.id}` }, h('strong', {}, each.name), ` ${each.kind} `,
      each.document ? documentLink(each.document) : sessionLink(each.session ?? ''),
      h('span', { class: 'quiet' }, ` ${bytes(each.queued_bytes)} queued, ${each.behind === null ? '' : `${count(each.behind, 'event')} behind, `}latency ${milliseconds(each.round_trip_ms)}`))))
}

function revokeForm(again) {
  const field = h('input', { type: 'text', name: 'subject', id: 'subject', autocomplete: 'off', spellcheck: 'false', 'aria-describedby': 'revoke-trouble' })
  const wrong = h('p', { class: 'problem', id: 'revoke-trouble', role: 'alert', hidden: true })
  const submit = async (event) => {
    event.preventDefault()
    const sub = field.value.trim()
    wrong.hidden = Boolean(sub)
    wrong.textContent = sub ? '' : 'Name the subject whose tokens are to be revoked.'
    if (!sub) return field.focus()
    const done = await confirm({
      title: `Revoke all tokens of ${sub}?`,
      about: [
        'All tokens that this subject was given until now are taken no longer, and their open connections are closed.',
        'A token that your application gives them later is taken. This cannot be undone.',
      ],
      action: 'Revoke', danger: true,
      work: () => read('/revocations', { method: 'POST', body: { sub } }),
    })
    if (!done) return
    field.value = ''
    say(`Revoked: all tokens of ${sub} until now.`)
    again()
  }
  return h('form', { class: 'search', novalidate: true, on: { submit } },
    h('label', {}, h('span', {}, 'Subject'), field),
    h('button', { type: 'submit', class: 'danger' }, 'Revoke …'), wrong)
}
