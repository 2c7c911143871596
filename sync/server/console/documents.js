/** The list of documents: searched by name, those that were deleted too. */

import { Away, query as queryOf, read } from './api.js'
import { h, patch } from './dom.js'
import { bytes, integer } from './format.js'
import { Table, documentLink, failure, loading, time } from './parts.js'
import { every } from './poll.js'

const PAGE = 100
const PATIENCE_MS = 200 // after a key, before the search begins

const COLUMNS = [
  { head: 'Document', of: (each) => each.name, cell: (each) => documentLink(each.name), rowHead: true, class: 'wide' },
  { head: 'Edits', of: (each) => each.edits, cell: (each) => integer(each.edits), number: true },
  { head: 'Size', of: (each) => each.size, cell: (each) => bytes(each.size), number: true },
  { head: 'Last author', of: (each) => each.last_author },
  { head: 'Last edit', of: (each) => each.updated_at, cell: (each) => time(each.updated_at) },
  { head: 'Position', of: (each) => each.position, cell: (each) => integer(each.position), number: true },
]
const DELETED = [
  ...COLUMNS.slice(0, 3),
  { head: 'Deleted', of: (each) => each.deleted.at, cell: (each) => time(each.deleted.at) },
  { head: 'By', of: (each) => each.deleted.by },
]

const placeOf = (asked, gone) => `#/documents${queryOf({ ...asked, deleted: gone || null })}`

export function documents({ query, signal }) {
  const gone = query.get('deleted') === 'true'
  const table = new Table({
    caption: 'Documents', columns: gone ? DELETED : COLUMNS, key: (each) => each.name,
    none: '',
  })
  const asked = { search: query.get('search') ?? '', prefix: query.get('prefix') ?? '' }
  const list = h('section', { class: 'card', 'aria-label': 'Documents' }, loading('documents'))
  let pages = 1
  let turn = 0
  const work = async () => {
    const mine = (turn += 1)
    try {
      const found = []
      let after = ''
      for (let page = 0; page < pages && after !== null; page += 1) {
        const told = await read(`/documents${queryOf({ ...asked, after, limit: PAGE, deleted: gone || null })}`, { signal })
        found.push(...told.documents)
        after = told.next
      }
      table.none = asked.search || asked.prefix
        ? (gone ? 'No document like this was deleted.' : 'There is no document like this.')
        : (gone ? 'No document was deleted.' : 'There is no document yet.')
      if (mine !== turn) return // asked for something else since
      patch(list, table.show(found), after !== null &&
        h('div', { class: 'more' }, h('p', { class: 'quiet' }, `The first ${integer(found.length)} by name; sorted are only these.`), h('button', { type: 'button', on: { click: () => { pages += 1; refresh() } } }, 'Show more')))
    } catch (error) {
      if (signal.aborted || mine !== turn) return
      if (error instanceof Away) throw error
      patch(list, failure(error))
    }
  }
  const refresh = () => work().catch(() => {})
  let typing
  const field = (name, label, hint) =>
    h('label', {}, h('span', {}, label),
      h('input', {
        type: 'search', name, placeholder: hint, autocomplete: 'off', spellcheck: 'false', prop: { value: asked[name] },
        on: { input: (event) => {
          asked[name] = event.target.value
          pages = 1
          history.replaceState(null, '', placeOf(asked, gone))
          patch(chips, ...which())
          clearTimeout(typing)
          typing = setTimeout(refresh, PATIENCE_MS)
        } },
      }))
  const which = () => [
    h('a', { href: placeOf(asked, false), 'aria-current': gone ? null : 'true' }, 'There'),
    h('a', { href: placeOf(asked, true), 'aria-current': gone ? 'true' : null }, 'Deleted'),
  ]
  const chips = h('div', { class: 'chips', role: 'group', 'aria-label': 'Which' }, which())
  every(5, work, signal)
  const node = h('div', {}, h('h1', {}, 'Documents'),
    h('div', { class: 'search', role: 'search' },
      field('search', 'Name has', 'refund'), field('prefix', 'Name begins with', 'drafts/'),
      chips),
    list)
  return { title: gone ? 'Deleted documents' : 'Documents', node }
}
