/** Pieces that every view is made of: headings, states, badges, tables, facts, dialogs. */

import { h, patch } from './dom.js'
import { Refused } from './api.js'
import { ago, capital, integer, moment, withZone } from './format.js'

export const link = (to, ...children) => h('a', { href: `#/${to}` }, ...children)

/** The address of a document's page, or of a part of it. */
export const documentPlace = (name, part) => `documents/${encodeURIComponent(name)}${part ? `/${part}` : ''}`

export const documentLink = (name) => h('a', { href: `#/${documentPlace(name)}`, class: 'name' }, name)
export const sessionLink = (id) => h('a', { href: `#/sessions/${encodeURIComponent(id)}`, class: 'name' }, id)

/** A word that stands out: `kind` is good, warn, bad, note or quiet. */
export const badge = (kind, ...children) => h('span', { class: `badge ${kind}` }, ...children)

/** One of some buttons, of which the one that holds is pressed. */
export const choice = (text, pressed, click) => h('button', { type: 'button', class: 'small', 'aria-pressed': String(Boolean(pressed)), on: { click } }, text)

const STATES = { running: 'good', paused: 'warn', created: 'note', stopped: 'quiet' }
export const stateBadge = (state) => badge(STATES[state] ?? 'note', capital(state))

export const time = (iso) =>
  iso ? h('time', { datetime: iso, title: withZone(iso) }, moment(iso)) : h('span', { class: 'quiet' }, '–')

const MOST_DAMAGED = 20 // that are told one by one

/** How long ago that was; `tickAll` keeps it true. */
export const since = (iso) => h('span', { class: 'quiet', 'data-since': iso }, ago(iso))
export const tickAll = () => document.querySelectorAll('[data-since]').forEach((each) => patch(each, ago(each.dataset.since)))

/** In the place of something: it is on its way, there is none, or it cannot be had. */
export const loading = (what) => h('p', { class: 'state quiet', key: 'state-loading' }, `Loading ${what} …`)
export const empty = (...text) => h('p', { class: 'state quiet', key: 'state-empty' }, ...text)
export const failure = (error) =>
  h('div', { class: 'state problem', role: 'alert', key: 'state-failure' },
    h('p', {}, error instanceof Refused && error.status === 403 ? 'You may not see this: ' : '', error.message, '.'))

/** Terms and what they are. Pairs of which the second is null are left out. */
export const facts = (...pairs) =>
  h('dl', { class: 'facts' },
    pairs.filter(([, value]) => value !== null && value !== undefined)
      .map(([term, value]) => h('div', {}, h('dt', {}, term), h('dd', {}, value))))

/** One large figure. `trouble` marks that it is nothing to be calm about. */
export const tile = (term, value, { note, trouble } = {}) =>
  h('div', { class: `tile${trouble ? ' trouble' : ''}` },
    h('dt', {}, term), h('dd', {}, value), h('dd', { class: 'quiet' }, note ?? '\u00a0'))

export const section = (title, ...children) => {
  const id = `about-${title.toLowerCase().replaceAll(/\W+/g, '-')}`
  return h('section', { class: 'card', 'aria-labelledby': id, key: id }, h('h2', { id }, title), ...children)
}

/**
 * A table that can be sorted by its heads. Columns: `{head, of(item), cell(item)?, number?}`; `of`
 * is what is sorted by, and shown where there is no `cell`. `of` left out: not sortable.
 */
export class Table {
  constructor({ caption, columns, key, none, sorted = null, descending = false }) {
    Object.assign(this, { caption, columns, key, none, sorted, descending })
    this.node = h('div', { class: 'scroll', tabindex: 0, role: 'group', 'aria-label': caption })
    this.items = []
  }

  show(items) {
    this.items = items
    if (!items.length) {
      patch(this.node, empty(this.none))
      return this.node
    }
    patch(this.node, h('table', { key: 'table' },
      h('caption', { class: 'hidden' }, this.caption),
      h('thead', {}, h('tr', {}, this.columns.map((column) => this.head(column)))),
      h('tbody', {}, this.ordered().map((item) => this.row(item)))))
    return this.node
  }

  head(column) {
    const { head, of, number } = column
    const chosen = this.sorted === head
    return h('th', {
      scope: 'col', class: number ? 'number' : null,
      'aria-sort': chosen ? (this.descending ? 'descending' : 'ascending') : null,
    }, of
      ? h('button', { type: 'button', class: 'sort', on: { click: () => this.sort(column) } },
          head, h('span', { 'aria-hidden': 'true', class: 'sort-mark' }, chosen ? (this.descending ? '▾' : '▴') : ''))
      : head)
  }

  sort({ head, number }) {
    this.descending = this.sorted === head ? !this.descending : Boolean(number)
    this.sorted = head
    this.show(this.items)
  }

  ordered() {
    const column = this.columns.find(({ head }) => head === this.sorted)
    if (!column) return this.items
    const sign = this.descending ? -1 : 1
    return [...this.items].sort((one, other) => sign * compare(column.of(one), column.of(other)))
  }

  row(item) {
    return h('tr', { key: `row-${this.key(item)}` }, this.columns.map(({ of, cell, number, rowHead, class: name }) =>
      h(rowHead ? 'th' : 'td', { scope: rowHead ? 'row' : null, class: [number && 'number', name].filter(Boolean).join(' ') || null },
        cell ? cell(item) : of(item))))
  }
}

function compare(one, other) {
  if (one === null || one === undefined) return other === null || other === undefined ? 0 : -1
  if (other === null || other === undefined) return 1
  return typeof one === 'number' ? one - other : String(one).localeCompare(String(other))
}

/** What of a document's history is damaged, in a card; null where nothing is. */
export const damage = (damaged) => damaged.length > 0 &&
  h('div', { class: 'problem', key: 'damage' },
    h('p', {}, 'Damaged on disk, and left out here; all else is as it was. ', h('code', {}, 'draftsync doctor'), ' tells what can be done:'),
    h('ul', {}, damaged.slice(0, MOST_DAMAGED).map((each) => h('li', {}, each))),
    damaged.length > MOST_DAMAGED && h('p', {}, `And ${integer(damaged.length - MOST_DAMAGED)} more.`))

/** A share of work done; `null` for nothing known. */
export const meter = (progress, who) => {
  if (!progress) return h('span', { class: 'quiet' }, '–')
  const done = progress.required ? `${progress.answered} of ${progress.required}` : `${progress.optional_answered} answered`
  return h('span', { class: 'progress' },
    h('meter', { min: 0, max: 1, value: progress.share, 'aria-label': `${who}: ${done}` }),
    h('span', { class: 'figures' }, done))
}

const live = h('div', { class: 'hidden', role: 'status' })
const toast = h('div', { class: 'toast', hidden: true })
/** Where `say` says it. */
export const announcer = h('div', {}, live, toast)

let saying
/** Tell what came of something that was asked for. */
export function say(text) {
  live.textContent = text
  toast.textContent = text
  toast.hidden = false
  clearTimeout(saying)
  saying = setTimeout(() => (toast.hidden = true), 6_000)
}

/**
 * Ask before something is done. `about`: paragraphs that tell what happens. `work` does it; what it
 * throws is shown in the dialog, which stays. `typed`: what has to be typed first, for what nobody
 * can undo. Resolves to whether it was done.
 */
export function confirm({ title, about, action, danger = false, typed = null, work }) {
  return new Promise((resolve) => {
    const trouble = h('p', { class: 'problem', role: 'alert', hidden: true })
    const go = h('button', { type: 'button', class: danger ? 'danger' : 'primary' }, action)
    const stay = h('button', { type: 'button' }, 'Cancel')
    const field = typed && h('input', { type: 'text', autocomplete: 'off', spellcheck: 'false', on: { input: (event) => (go.disabled = event.target.value !== typed) } })
    go.disabled = Boolean(typed)
    const dialog = h('dialog', { 'aria-labelledby': 'dialog-title' },
      h('h2', { id: 'dialog-title' }, title),
      about.map((each) => h('p', {}, each)),
      field && h('label', {}, h('span', { class: 'quiet' }, 'Type its name to go on'), field),
      trouble,
      h('div', { class: 'buttons' }, stay, go))
    let done = false
    dialog.addEventListener('close', () => {
      dialog.remove()
      resolve(done)
    })
    dialog.addEventListener('cancel', (event) => {
      if (stay.disabled) event.preventDefault() // it is being done
    })
    stay.addEventListener('click', () => dialog.close())
    go.addEventListener('click', async () => {
      go.disabled = stay.disabled = true
      trouble.hidden = true
      try {
        await work()
        done = true
        dialog.close()
      } catch (error) {
        trouble.textContent = `It was not done: ${error.message}.`
        trouble.hidden = false
        go.disabled = stay.disabled = false
        go.focus()
      }
    })
    document.body.append(dialog)
    dialog.showModal()
    ;(field ?? stay).focus()
  })
}
