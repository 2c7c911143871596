/** What happens now: the latest edits of all documents, and the latest events of sessions. */

import { Away, path, query as queryOf, read } from './api.js'
import { h, patch } from './dom.js'
import { bytes, integer } from './format.js'
import { badge, documentLink, empty, failure, loading, section, time } from './parts.js'
import { every } from './poll.js'
import { eventLine } from './session.js'
import { newest } from './sessions.js'

const KEPT = 200
const BEGIN = 100
const SESSIONS = 20 // those that were made last, whose events are shown
const EVENTS = 20 // of each

export function feed({ signal }) {
  const edits = h('div', { class: 'log', role: 'log', 'aria-label': 'Latest edits', tabindex: 0 }, loading('edits'))
  const events = h('div', { class: 'log', role: 'log', 'aria-label': 'Latest session events', tabindex: 0 }, loading('events'))
  followEdits(edits, signal)
  followEvents(events, signal)
  return {
    title: 'Event feed',
    node: h('div', {}, h('h1', {}, 'Event feed'),
      h('div', { class: 'columns feed' }, section('Edits', edits), section('Session events', events))),
  }
}

function followEdits(list, signal) {
  let all = []
  let after = null
  every(1, async () => {
    try {
      if (after === null) {
        after = Math.max(0, (await read('/edits', { signal })).next - BEGIN)
        all = []
      }
      const told = await read(`/edits${queryOf({ after, limit: KEPT })}`, { signal })
      all = [...told.edits.reverse(), ...all].slice(0, KEPT)
      after = told.edits.length < KEPT ? told.next : null // more than can be told: on from the last
      patch(list, all.length ? all.map(editLine) : empty('Nobody has edited anything yet.'))
    } catch (error) {
      if (error instanceof Away) after = null // it may come back with another database
      if (signal.aborted || error instanceof Away) throw error
      patch(list, failure(error))
    }
  }, signal)
}

const editLine = (each) =>
  h('div', { class: 'entry', key: each.position }, time(each.time), ' ', h('strong', { class: 'name' }, each.author), ' in ', documentLink(each.document),
    h('span', { class: 'quiet figures' }, ` #${integer(each.position)} · ${bytes(each.size)}`), each.offline && [' ', badge('warn', 'offline')])

function followEvents(list, signal) {
  const known = new Map() // session → {top, events}
  every(2, async () => {
    try {
      const found = await latest(signal)
      for (const { id, top } of found) {
        const before = known.get(id)
        if (before?.top === top) continue
        const after = Math.max(0, top - EVENTS)
        known.set(id, { top, events: (await read(`${path('sessions', id)}/events${queryOf({ after, limit: EVENTS })}`, { signal })).events })
      }
      const all = [...known].flatMap(([id, { events }]) => events.map((event) => ({ id, event })))
      all.sort((one, other) => (one.event.time < other.event.time ? 1 : one.event.time > other.event.time ? -1 : other.event.offset - one.event.offset))
      patch(list, all.length ? all.slice(0, KEPT).map(({ id, event }) => eventLine(event, id)) : empty('No session has an event yet.'))
    } catch (error) {
      if (signal.aborted || error instanceof Away) throw error
      patch(list, failure(error))
    }
  }, signal)
}

/** Sessions that may have something new: those that are not stopped first, the latest of them. */
async function latest(signal) {
  const all = []
  for (const state of ['running', 'paused', 'created', 'stopped'])
    if (all.length < SESSIONS) all.push(...(await newest(state, SESSIONS - all.length, signal)).found)
  return all
}
