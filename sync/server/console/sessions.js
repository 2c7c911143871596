/** The list of sessions. */

import { Away, query as queryOf, read } from './api.js'
import { h, patch } from './dom.js'
import { duration, integer } from './format.js'
import { Table, failure, loading, sessionLink, stateBadge, time } from './parts.js'
import { every } from './poll.js'
import { service } from './service.js'

const STATES = ['running', 'paused', 'created', 'stopped']
const PAGE = 50
const MOST = 200 // that the API tells at once

const COLUMNS = [
  { head: 'Session', of: (each) => each.id, cell: (each) => sessionLink(each.id), rowHead: true },
  { head: 'Title', of: (each) => each.title, class: 'wide' },
  { head: 'State', of: (each) => STATES.indexOf(each.state), cell: (each) => stateBadge(each.state) },
  { head: 'Test cases', of: (each) => each.test_cases.length, cell: (each) => integer(each.test_cases.length), number: true },
  { head: 'Members', of: (each) => each.members.length, cell: (each) => integer(each.members.length), number: true },
  { head: 'Declared complete', of: (each) => each.completed.length, cell: (each) => `${integer(each.completed.length)} of ${integer(due(each))}`, number: true },
  { head: 'Ran for', of: (each) => each.active_seconds, cell: (each) => duration(each.active_seconds), number: true },
  { head: 'Created', of: (each) => each.created_at, cell: (each) => time(each.created_at) },
]

/** Drafts to be declared complete: each evaluator's of each test case. */
const due = ({ members, test_cases: cases }) =>
  members.filter(({ role }) => role === 'evaluator').length * cases.length

/**
 * The newest sessions, of one state or all: `{found, more}`. The API tells them by their numbers,
 * from the first one on: so it is asked for those at the end, and for more of them until there are
 * as many as are wanted.
 */
export async function newest(state, wanted, signal) {
  const { sessions: counts } = service.now ?? (await read('/status', { signal }))
  const all = Object.values(counts).reduce((sum, each) => sum + each, 0)
  for (let back = wanted; ; back *= 4) {
    const begin = Math.max(0, all - back)
    const found = []
    for (let after = begin; after !== null; ) {
      const told = await read(`/sessions${queryOf({ state, after, limit: MOST })}`, { signal })
      found.push(...told.sessions)
      after = told.next
    }
    if (found.length >= wanted || begin === 0)
      return { found: found.slice(-wanted).reverse(), more: begin > 0 || found.length > wanted }
  }
}

export function sessions({ query, signal }) {
  const state = STATES.includes(query.get('state')) ? query.get('state') : ''
  const table = new Table({ caption: 'Sessions', columns: COLUMNS, key: (each) => each.id, none: state ? `No session is ${state}.` : 'There is no session yet.', sorted: 'Created', descending: true })
  const more = h('div', { class: 'more' })
  const list = h('section', { class: 'card', 'aria-label': 'Sessions' }, loading('sessions'))
  let pages = 1
  const work = async () => {
    try {
      const { found, more: older } = await newest(state, pages * PAGE, signal)
      patch(list, table.show(found), more)
      patch(more, older && h('button', { type: 'button', on: { click: () => { pages += 1; refresh() } } }, 'Show older ones'))
    } catch (error) {
      if (signal.aborted) return
      if (error instanceof Away) throw error
      patch(list, failure(error))
    }
  }
  const refresh = () => work().catch(() => {})
  every(3, work, signal)
  const filter = h('div', { class: 'chips', role: 'group', 'aria-label': 'State' },
    ['', ...STATES].map((each) =>
      h('a', { href: `#/sessions${each ? `?state=${each}` : ''}`, 'aria-current': each === state ? 'true' : null },
        each ? each.charAt(0).toUpperCase() + each.slice(1) : 'All')))
  return { title: 'Sessions', node: h('div', {}, h('h1', {}, 'Sessions'), filter, list) }
}
